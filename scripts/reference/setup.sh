#!/usr/bin/env bash
# Makes the Python environment of the reference programs and of the rival's side of the benchmark:
#
#     scripts/reference/setup.sh .venv-reference
#
# Needs Linux on x86-64, Python 3.11 or later and a C compiler. The torch wheel of PyPI is linked against
# the CUDA libraries (2 GB); `--no-deps` leaves them out and `torch_stubs.py` puts empty ones in their place.
set -euo pipefail

venv=${1:?usage: setup.sh VENV}
here=$(cd "$(dirname "$0")" && pwd)

python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps torch==2.15.0 setuptools==65.5.0
"$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$here/requirements.txt"
packages=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
"$venv/bin/python" "$here/torch_stubs.py" "$packages/torch/lib"
"$venv/bin/python" -c '
import torch, transformers
print(f"torch {torch.__version__}, transformers {transformers.__version__}, CUDA {torch.cuda.is_available()}")'
echo "ready: $venv/bin/python"

#!/usr/bin/env bash
# Builds limbeck for an NVIDIA GPU without an installed CUDA toolkit: `scripts/cuda/build.sh [DIR]`.
#
# The compiler and the libraries come from NVIDIA's PyPI packages (13.0: later ones are too new for candle's bindings),
# unpacked side by side into DIR (default .limbeck/cuda). Linking needs no driver: an empty stand-in for libcuda.so is
# made. At run time the driver, and libcublas.so.13, libcublasLt.so.13, libcurand.so.10 and libcudart.so.13 must be found,
# for instance with LD_LIBRARY_PATH=DIR/lib. CUDA_COMPUTE_CAP chooses the GPU (90 for an H100 or H200).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=$(mkdir -p "${1:-.limbeck/cuda}" && cd "${1:-.limbeck/cuda}" && pwd)

if [ ! -e "$folder/complete" ]; then
    wheels=$folder/wheels
    python3 -m pip download --quiet --no-deps --dest "$wheels" \
        'nvidia-cuda-nvcc==13.0.*' 'nvidia-nvvm==13.0.*' 'nvidia-cuda-crt==13.0.*' 'nvidia-cuda-runtime==13.0.*' \
        'nvidia-cuda-cccl==13.0.*' 'nvidia-cuda-nvrtc==13.0.*' 'nvidia-cublas==13.0.*' 'nvidia-curand==10.4.*'
    python3 - "$wheels" "$folder" <<'PYTHON'
import pathlib, shutil, sys, zipfile

wheels, folder = map(pathlib.Path, sys.argv[1:])
for wheel in wheels.glob("*.whl"):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            parts = pathlib.PurePosixPath(member.filename).parts
            # nvidia/cu13/bin/nvcc and the like: everything after the second part goes side by side.
            if len(parts) < 3 or parts[0] != "nvidia" or member.is_dir():
                continue
            target = folder.joinpath(*parts[2:])
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, open(target, "wb") as out:
                shutil.copyfileobj(source, out)
            if "bin" in parts[2:]:
                target.chmod(0o755)
for library in (folder / "lib").glob("*.so.*"):
    plain = library.with_name(library.name.split(".so")[0] + ".so")
    if not plain.exists():
        plain.symlink_to(library.name)
PYTHON
    # Every function of the driver by name: the linker wants to see them, the driver on the GPU's machine brings the real ones.
    mkdir -p "$folder/lib/stubs"
    python3 - "$folder/include/cuda.h" <<'PYTHON' | cc -shared -fPIC -x c - -Wl,-soname,libcuda.so.1 -o "$folder/lib/stubs/libcuda.so"
import re, sys

header = open(sys.argv[1], encoding="utf-8").read()
declared = re.findall(r"CUDAAPI\s+(cu\w+)\s*\(", header)
renamed = re.findall(r"#define\s+cu\w+\s+(?:__CUDA_API_\w+\()?(cu\w+)", header)
print("\n".join(f"int {name}(void) {{ return 999; }}" for name in sorted({*declared, *renamed})))
PYTHON
    [ -e "$folder/lib64" ] || ln -s lib "$folder/lib64"
    touch "$folder/complete"
fi

export CUDA_HOME=$folder CUDA_PATH=$folder CUDA_ROOT=$folder CUDA_TOOLKIT_ROOT_DIR=$folder PATH=$folder/bin:$PATH
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90} CANDLE_NVCC_CCBIN=${CANDLE_NVCC_CCBIN:-$(command -v g++)}
export RUSTFLAGS="${RUSTFLAGS:-} -L native=$folder/lib -L native=$folder/lib/stubs -C link-arg=-Wl,--allow-shlib-undefined -C link-arg=-Wl,--unresolved-symbols=ignore-in-shared-libs"
cargo build --release --locked --package limbeck --features cuda --target-dir target/cuda
echo "built target/cuda/release/limbeck; run it with LD_LIBRARY_PATH=$folder/lib"

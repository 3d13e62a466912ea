#!/usr/bin/env bash
# Fetches the teacher and the texts of the demo: scripts/fetch.sh [FOLDER], by default .limbeck.
set -euo pipefail

if ! command -v python3 >/dev/null; then
    echo "fetch: python3 is missing; install Python 3.8 or newer with pip" >&2
    exit 1
fi
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 8))'; then
    echo "fetch: $(python3 --version) is too old; install Python 3.8 or newer" >&2
    exit 1
fi
exec python3 "$(dirname "${BASH_SOURCE[0]}")/fetch.py" "${1:-.limbeck}"

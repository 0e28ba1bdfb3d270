#!/usr/bin/env bash
# Makes the Python stubs of both services from proto/, for callers to put on their PYTHONPATH.
# Usage: scripts/stubs.sh [FOLDER]      (.tools/stubs when left out)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${1:-$root/.tools/stubs}
python=$root/.tools/venv/bin/python
[ -x "$python" ] || { echo "stubs: missing: scripts/tools.sh python" >&2; exit 1; }

mkdir -p "$folder"
cd "$root/proto"
find claviger google -name '*.proto' -exec "$python" -m grpc_tools.protoc \
    --proto_path=. --python_out="$folder" --pyi_out="$folder" --grpc_python_out="$folder" {} +
echo "stubs: in $folder"

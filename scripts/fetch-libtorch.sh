#!/usr/bin/env bash
# Fetches libtorch 2.11.0 from PyPI and unpacks what lmplan needs of it: 544 MB to download, 499 MB
# kept. No Python at run time, nothing outside the folder. Does nothing where it is there already.
#
#   scripts/fetch-libtorch.sh              # into target/libtorch
#   LMPLAN_LIBTORCH=DIR scripts/fetch-libtorch.sh
#
# Wheels are kept until all are unpacked, so that an interrupted download goes on with those that
# are still missing. On a machine with a GPU, the NVIDIA libraries that the CUDA half of libtorch
# needs come with `pip install torch==2.11.0`; README.md says how to use them.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
folder=${LMPLAN_LIBTORCH:-$root/target/libtorch}
version=2.11.0+cu130

if [ "$(cat "$folder/torch/build-version" 2>/dev/null)" = "$version" ]; then
    exit 0
fi
command -v python3 >/dev/null 2>&1 || {
    echo "libtorch is missing in $folder, and python3 with pip to fetch it is missing too" >&2
    exit 7
}
wheels=$folder/wheels
mkdir -p "$wheels"

# name==version sha256
packages=(
    "nvidia-cuda-runtime==13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"
    "nvidia-cuda-cupti==13.0.85 4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8"
    "torch==2.11.0 0f68f4ac6d95d12e896c3b7a912b5871619542ec54d3649cf48cc1edd4dd2756"
)
for package in "${packages[@]}"; do
    read -r name sum <<<"$package"
    stem=$(echo "${name%%==*}" | tr - _)
    file=$(find "$wheels" -name "$stem-*.whl" -print -quit)
    if [ -z "$file" ] || ! echo "$sum  $file" | sha256sum --check --status; then
        [ -z "$file" ] || rm -f "$file"
        echo "fetching $name" >&2
        python3 -m pip download --disable-pip-version-check --no-deps --only-binary=:all: \
            --python-version 3.12 --dest "$wheels" "$name" >&2
        file=$(find "$wheels" -name "$stem-*.whl" -print -quit)
        echo "$sum  $file" | sha256sum --check --status || {
            rm -f "$file"
            echo "$name: the checksum differs from the one known" >&2
            exit 1
        }
    fi
done

echo "unpacking into $folder" >&2
python3 - "$folder" "$wheels" <<'PYTHON'
import pathlib, sys, zipfile

folder, wheels = map(pathlib.Path, sys.argv[1:])
libraries = {
    "torch/lib/libtorch_cpu.so", "torch/lib/libtorch.so", "torch/lib/libc10.so",
    "torch/lib/libgomp.so.1", "nvidia/cu13/lib/libcudart.so.13", "nvidia/cu13/lib/libcupti.so.13",
}
for wheel in sorted(wheels.glob("*.whl")):
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name in libraries or name.startswith("torch/include/"):
                archive.extract(name, folder)
missing = [name for name in sorted(libraries) if not (folder / name).is_file()]
if missing:
    sys.exit("not in the wheels: " + ", ".join(missing))
PYTHON
echo "$version" >"$folder/torch/build-version"
rm -rf "$wheels"

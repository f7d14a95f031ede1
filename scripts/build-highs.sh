#!/usr/bin/env bash
# Builds lmplan with the HiGHS solver beside the pure-Rust one.
#
# HiGHS comes as C++ source inside `highs-sys` and needs cmake, libclang and a C++ compiler. Where
# cmake or libclang is missing, this takes them from PyPI into a folder of its own (no root, nothing
# outside of that folder). The first build takes about nine minutes of one core.
#
#   scripts/build-highs.sh                        # cargo build --release --features highs
#   scripts/build-highs.sh test --lib solver      # cargo test --features highs --lib solver
#   scripts/build-highs.sh clippy --all-targets   # any other cargo command
#
# LMPLAN_TOOLS   folder of the tools (target/build-tools)
# LIBCLANG_PATH  folder of libclang.so, where one is installed already
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${LMPLAN_TOOLS:-$root/target/build-tools}
packages=()

if ! command -v cmake >/dev/null 2>&1; then
    [ -x "$tools/bin/cmake" ] || packages+=(cmake)
    export PATH="$tools/bin:$PATH" PYTHONPATH="$tools${PYTHONPATH:+:$PYTHONPATH}"
fi
if [ -z "${LIBCLANG_PATH:-}" ] && ! ldconfig -p 2>/dev/null | grep -q 'libclang[-.0-9]*\.so'; then
    [ -e "$tools/clang/native/libclang.so" ] || packages+=(libclang)
    export LIBCLANG_PATH="$tools/clang/native"
fi
if [ ${#packages[@]} -gt 0 ]; then
    command -v python3 >/dev/null 2>&1 || {
        echo "${packages[*]} missing: install them, or python3 with pip to fetch them" >&2
        exit 7
    }
    python3 -m pip install --quiet --disable-pip-version-check --upgrade \
        --target "$tools" "${packages[@]}"
fi

if [ $# -eq 0 ]; then
    set -- build --release
fi
command=$1
shift
cd "$root"
exec cargo "$command" --features highs "$@"

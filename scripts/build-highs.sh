#!/usr/bin/env bash
# Builds lmplan with the HiGHS solver beside the pure-Rust one.
#
# On Linux (x86-64, aarch64) HiGHS comes compiled from PyPI, as the package `highsbox`: 10 MB, and a
# minute to build what uses it. What is built finds the library in the folder of the tools by itself
# (its rpath), as long as that folder stays. Elsewhere, without pkg-config, or with
# LMPLAN_HIGHS=source, the C++ source inside `highs-sys` is compiled in: that needs cmake and a C++
# compiler, takes about nine minutes of one core, and what is built needs no such folder.
#
# Either way libclang reads HiGHS's headers. What is missing of it and of cmake is taken from PyPI into
# the folder of the tools (no root, nothing outside of that folder).
#
#   scripts/build-highs.sh                        # cargo build --release --features highs
#   scripts/build-highs.sh test --lib solver      # cargo test --features highs --lib solver
#   scripts/build-highs.sh clippy --all-targets   # any other cargo command
#
# LMPLAN_HIGHS   source: compile it here
# LMPLAN_TOOLS   folder of the tools (target/build-tools)
# LMPLAN_CARGO   what is run in place of cargo: scripts/build-torch.sh for an executor besides
# LIBCLANG_PATH  folder of libclang.so, where one is installed already
set -euo pipefail
export PIP_ROOT_USER_ACTION=ignore

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${LMPLAN_TOOLS:-$root/target/build-tools}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
version=1.15.1
prebuilt=$tools/highsbox-$version

# Into a folder of its own: pip does not look whether what it finds there is whole.
fetch_prebuilt() {
    local part=$prebuilt.part
    rm -rf "$part"
    mkdir -p "$part"
    cat >"$part/requirements.txt" <<REQUIREMENTS
highsbox==$version \
    --hash=sha256:17f30d23ef37488467732b45f141146f7c287826a576b4514ae39a8cc4068b28 \
    --hash=sha256:d1a3c1742d6fae36a3a18e0c7500530e46de5faa1a42dee65677bf0ae80acda3
REQUIREMENTS
    python3 -m pip install --quiet --disable-pip-version-check --no-deps \
        --only-binary=:all: --require-hashes --target "$part" -r "$part/requirements.txt" >&2 &&
        mv "$part" "$prebuilt"
}

# Whether HiGHS is there compiled, or can be had.
has_prebuilt() {
    [ "${LMPLAN_HIGHS:-}" != source ] || return 1
    case $(uname -sm) in 'Linux x86_64' | 'Linux aarch64') ;; *) return 1 ;; esac
    command -v pkg-config >/dev/null 2>&1 || return 1
    [ -d "$prebuilt" ] || fetch_prebuilt || {
        echo "HiGHS can not be fetched compiled; compiling it" >&2
        return 1
    }
}

packages=()
feature=highs
if has_prebuilt; then
    feature=highs-prebuilt
    export LMPLAN_HIGHS_LIB=$prebuilt/highsbox/highs_dist/lib
    # Where it stands here, in place of where it was compiled.
    mkdir -p "$prebuilt/pkgconfig"
    cat >"$prebuilt/pkgconfig/highs.pc" <<PC
Name: HiGHS
Description: Linear Optimization Software
Version: $version
Libs: -L"$LMPLAN_HIGHS_LIB" -lhighs
Cflags: -I"${LMPLAN_HIGHS_LIB%/lib}/include/highs"
PC
    export PKG_CONFIG_PATH="$prebuilt/pkgconfig${PKG_CONFIG_PATH:+:$PKG_CONFIG_PATH}"
elif ! command -v cmake >/dev/null 2>&1; then
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
exec "${LMPLAN_CARGO:-cargo}" "$command" --features "$feature" "$@"

#!/usr/bin/env bash
# Everything that decides whether a change is good: formatting, lints, tests of the bare build, and
# the HiGHS build's solver against the pure-Rust one, and the executor on libtorch against autograd
# and against itself on several ranks. Needs a Rust toolchain, a C++ compiler and, for HiGHS and
# libtorch, python3 with pip (cmake and libclang are fetched into target/build-tools, libtorch into
# target/libtorch).
#
#   scripts/test.sh          # everything, about 40 minutes on two cores from nothing; fetches 544 MB
#   scripts/test.sh bare     # without libtorch
#   scripts/test.sh quick    # without libtorch and HiGHS
set -euo pipefail
case ${1:-} in '' | bare | quick) ;; *) echo "usage: scripts/test.sh [bare|quick]" >&2; exit 2 ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s (after %d s)\n' "$*" "$SECONDS"; }

if cargo fmt --version >/dev/null 2>&1; then
    step "formatting"
    cargo fmt --check
else
    step "formatting: rustfmt is not installed, left out"
fi
if cargo clippy --version >/dev/null 2>&1; then
    step "lints"
    cargo clippy --quiet --all-targets -- -D warnings
else
    step "lints: clippy is not installed, left out"
fi
step "library without the command"
cargo check --quiet --lib --no-default-features
step "tests, bare build"
cargo test --all-targets
cargo test --doc
case ${1:-} in quick) exit ;; esac
step "tests, HiGHS beside microlp"
CARGO_TARGET_DIR=${LMPLAN_HIGHS_TARGET:-target/highs} \
    scripts/build-highs.sh test --release --test solvers
case ${1:-} in bare) exit ;; esac
step "tests, executor on libtorch"
if cargo clippy --version >/dev/null 2>&1; then
    scripts/build-torch.sh clippy --quiet --all-targets -- -D warnings
fi
scripts/build-torch.sh test -p lmplan-c10d -p lmplan --test ranks --test nccl --test executor -- --test-threads=2
step "all passed"

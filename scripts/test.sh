#!/usr/bin/env bash
# Everything that decides whether a change is good: formatting, lints, tests of the bare build, and
# the HiGHS build's solver against the pure-Rust one, and the executor on libtorch against autograd
# and against itself on several ranks. Needs a Rust toolchain, a C++ compiler and, for HiGHS and
# libtorch, python3 with pip (HiGHS and libclang are fetched into target/build-tools, libtorch into
# target/libtorch).
#
#   scripts/test.sh          # everything, about 27 minutes on two cores from nothing; fetches 544 MB
#   scripts/test.sh bare     # without libtorch
#   scripts/test.sh quick    # without libtorch and HiGHS
set -euo pipefail
case ${1:-} in '' | bare | quick) ;; *) echo "usage: scripts/test.sh [bare|quick]" >&2; exit 2 ;; esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s (after %d s)\n' "$*" "$SECONDS"; }

# From nothing there is nothing to build on, and what a next build could build on takes long to write.
[ -d "${CARGO_TARGET_DIR:-target}/debug" ] || export CARGO_INCREMENTAL=0

if [ -z "${1:-}${LIBTORCH:-}" ]; then
    # While the rest is compiled; what fails here is tried, and said, again below.
    scripts/fetch-libtorch.sh >/dev/null 2>&1 &
    trap wait EXIT
fi

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
case ${1:-} in
quick) exit ;;
bare)
    step "tests, HiGHS beside microlp"
    scripts/build-highs.sh test --test solvers
    exit
    ;;
esac
if cargo clippy --version >/dev/null 2>&1; then
    step "lints, with HiGHS and the executor"
    # Without libtorch, whose shim would be compiled twice.
    scripts/build-highs.sh clippy --quiet --features torch-check --all-targets -- -D warnings
fi
wait
# Both in one build, in the folder of the bare one: what they share is compiled once.
with_both() { LMPLAN_CARGO=scripts/build-torch.sh scripts/build-highs.sh "$@"; }
step "tests, HiGHS beside microlp, executor on libtorch"
packages=(-p lmplan-c10d -p lmplan)
with_both test "${packages[@]}" --test ranks --test nccl --test solvers --test executor \
    -- --test-threads=2 --skip topologies::
# Small runs of up to four threads each, which often wait for one another.
with_both test "${packages[@]}" --test executor -- --test-threads=$((2 * $(nproc))) topologies::
step "all passed"

#!/usr/bin/env bash
# Builds lmplan with its executor on libtorch (`verify`, `calibrate`), which is fetched where it is
# missing. The first build takes about four minutes of one core.
#
#   scripts/build-torch.sh                    # cargo build --release --features torch
#   scripts/build-torch.sh test --test executor
#   scripts/build-torch.sh clippy --all-targets
#
# LIBTORCH   folder with lib and include of libtorch 2.11.0, where one is installed already
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
if [ -z "${LIBTORCH:-}" ]; then
    "$root/scripts/fetch-libtorch.sh"
    export LIBTORCH="${LMPLAN_LIBTORCH:-$root/target/libtorch}/torch"
fi
if [ $# -eq 0 ]; then
    set -- build --release
fi
command=$1
shift
cd "$root"
exec cargo "$command" --features torch "$@"

#!/usr/bin/env bash
# Makes the committed capacity review again, and the outputs in docs/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo run --release --quiet -- capacity --model gpt3-175b --cluster a100x64 --cluster h100x64 \
    --devices 64..4096 --tokens 300B --deadline 60d "$@"
BLESS=1 cargo test --quiet --test it guide::

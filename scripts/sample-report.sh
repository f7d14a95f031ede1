#!/usr/bin/env bash
# Makes the committed sample report again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cargo run --release --quiet -- search --model gpt3-175b.yaml --cluster a100x64.yaml --global-batch 64 "$@"

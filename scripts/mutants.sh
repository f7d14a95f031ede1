#!/usr/bin/env bash
# Proves that the tests hold the planner's mathematics and the executor's: applies each mutant of
# scripts/mutants.txt to a copy of the last commit, one at a time, and runs the tests of planner,
# simulator, solver and check, or those of the executor. A mutant that they do not notice is an error.
# Takes about a minute a mutant on two cores.
#
#   scripts/mutants.sh               # all
#   scripts/mutants.sh memory.rs     # those of files whose path holds the word
#   scripts/mutants.sh src/executor  # the executor's
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
copy=$root/target/mutants/source
export CARGO_TARGET_DIR=$root/target/mutants/build
rm -rf "$copy"
mkdir -p "$copy"
git archive HEAD | tar -x -C "$copy"
cd "$copy"

export LMPLAN_LIBTORCH=${LMPLAN_LIBTORCH:-$root/target/libtorch}

tests() {
    case $2 in
    *src/executor*)
        scripts/build-torch.sh test --quiet --test executor -- autograd updates >"$1" 2>&1 &&
            scripts/build-torch.sh test --quiet --test executor -- ranks >>"$1" 2>&1
        ;;
    *)
        cargo test --quiet --lib -- planner:: sim:: lower:: solver:: >"$1" 2>&1 &&
            cargo test --quiet --test it --test solvers -- check:: published_plans:: agreement:: >>"$1" 2>&1
        ;;
    esac
}

log=$root/target/mutants/log
echo "without a mutant"
tests "$log" "${1:-}" || { cat "$log"; echo "the tests fail without any mutant" >&2; exit 1; }

survived=0
while IFS= read -r line; do
    case $line in '' | '#'*) continue ;; esac
    file=${line%% | *}
    case $file in *"${1:-}"*) ;; *) continue ;; esac
    cp "$file" "$log.original"
    python3 - "$line" <<'PYTHON'
import sys
file, old, new = sys.argv[1].split(" | ")
text = open(file).read()
if text.count(old) != 1:
    sys.exit(f"{file}: stands there {text.count(old)} times: {old}")
open(file, "w").write(text.replace(old, new))
PYTHON
    if tests "$log" "$file"; then
        echo "SURVIVED $line"
        survived=$((survived + 1))
    elif grep -q 'could not compile' "$log"; then
        echo "does not compile: $line" >&2
        exit 1
    else
        echo "noticed  $line"
    fi
    cp "$log.original" "$file"
done <"$root/scripts/mutants.txt"
[ "$survived" = 0 ] || { echo "$survived mutants were not noticed" >&2; exit 1; }

#!/usr/bin/env bash
# Does what README.md says, from its first command on, in a clean clone, and looks after every block
# whether anything that is committed has changed. What needs libtorch or builds for minutes is left
# out: the sections "Run what was planned", "Solvers" and "Tests".
#
#   tests/newcomer.sh                             # builds as README.md says
#   LMPLAN=target/debug/lmplan tests/newcomer.sh  # that program in place of the builds
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -z "${LMPLAN:-}" ] || LMPLAN=$(cd "$(dirname "$LMPLAN")" && pwd)/$(basename "$LMPLAN")

# A clone with what is not committed yet. The space and the umlaut are on purpose.
clone="$work/ein Anfänger/lmplan"
mkdir -p "$clone" "$work/bin" "$work/home"
cd "$root"
git ls-files -z --cached --others --exclude-standard |
    while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
    tar --null --files-from=- -cf - | tar -xf - -C "$clone"
cd "$clone"
git init --quiet
git add --all
git -c user.name=newcomer -c user.email=newcomer@example.org commit --quiet --message clone

# Commands of README.md, one to a line; those that end in a backslash are joined.
commands=$(awk '
    /^## /   { left_out = /^## (Run what was planned|Solvers|Tests)/ }
    /^```/   { if (inside) print "#end"; inside = ($0 == "```sh" && !left_out); next }
    inside   { if (sub(/\\$/, "")) { line = line $0; next } print line $0; line = "" }
' README.md)

install() {
    if [ -n "${LMPLAN:-}" ]; then ln -sf "$LMPLAN" "$work/bin/lmplan"; else
        cargo install --quiet --path . --root "$work/home" && ln -sf "$work/home/bin/lmplan" "$work/bin/"
    fi
}
if ! command -v jq >/dev/null; then
    printf '#!/bin/sh\nexec python3 -c "import json, sys; print(json.load(sys.stdin)[\\"prediction\\"][\\"mfu\\"])"\n' \
        >"$work/bin/jq"
    chmod +x "$work/bin/jq"
fi
export PATH="$work/bin:$PATH"

clean() {
    local changed
    changed=$(git status --porcelain)
    [ -z "$changed" ] || { printf 'after `%s` git status says:\n%s\n' "$1" "$changed" >&2; exit 1; }
}
run() {
    printf '$ %s\n' "$1"
    bash -euo pipefail -c "$1" >"$work/out" 2>"$work/said" || {
        code=$?
        printf 'ended with %s\n' "$code" >&2
        cat "$work/out" "$work/said" >&2
        exit 1
    }
    [ -s "$work/out" ] || [ -s "$work/said" ] || case $1 in cp\ * | sed\ *) ;; *)
        echo "printed nothing" >&2
        exit 1
        ;;
    esac
    clean "$1"
}

count=0
while IFS= read -r line; do
    case $line in
    '#end' | '') continue ;;
    'cargo install --path .') printf '$ %s\n' "$line"; install; clean "$line" ;;
    'cargo run --release -- '*)
        if [ -n "${LMPLAN:-}" ]; then
            printf -v program '%q' "$LMPLAN"
            run "$program ${line#cargo run --release -- }"
        else
            run "$line"
        fi
        ;;
    *) run "$line" ;;
    esac
    count=$((count + 1))
done <<<"$commands"
[ "$count" -ge 12 ] || { echo "README.md has only $count commands" >&2; exit 1; }

# The first command without its last flag, as one may type it, is another job: nothing is overwritten.
run 'lmplan search --model gpt3-175b.yaml --cluster a100x64.yaml'
[ -s reports/gpt3-175b-on-a100x64-2/plan.yaml ]
# What scripts/sample-report.sh runs is the first command.
sample=$(sed -n 's/^cargo run --release --quiet -- \(.*\) "\$@"$/\1/p' scripts/sample-report.sh)
grep -qxF "cargo run --release -- $sample" README.md ||
    { echo 'scripts/sample-report.sh runs another job than the first command' >&2; exit 1; }
echo "$count commands, nothing committed changed"

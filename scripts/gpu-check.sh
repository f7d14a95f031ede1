#!/usr/bin/env bash
# Everything that lmplan can learn on a GPU, in one command of at most eight minutes: whether plans
# compute there what one device computes, how long kernels take, and how far off the predictions of
# time and memory are. Needs no Rust and no network there, but an installed torch 2.11.0.
#
#   scripts/gpu-check.sh pack [DIR]     # here: the program and its plans, into target/gpu-check
#   DIR/gpu-check.sh [OUT]              # there: results into OUT (or $OUT, or gpu-check-results)
#   DIR/gpu-check.sh --device cpu [OUT] # the same steps with small plans, without a GPU
#   DIR/gpu-check.sh --device cpu --only numerics,whole OUT
#
# Each step has a time limit and a log of its own; none waits for another's success. After each,
# OUT/summary.md says what ran, for how long, and how it ended, and OUT/results.tar.gz holds all logs,
# numbers and pages: few files, to be carried back. Steps: here, numerics, calibrate, roles, whole,
# measured (roles and wholes once more, predicted with the device file that `calibrate` wrote).
# LMPLAN: another program than the packed one. LMPLAN_GPU_SECONDS: another limit of the whole than 480.
set -uo pipefail

self=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

pack() {
    set -e
    local root to=${1:-}
    root=$(cd "$self/.." && pwd)
    to=${to:-$root/target/gpu-check}
    "$root/scripts/build-torch.sh" build --release --bin lmplan
    rm -rf "$to"
    mkdir -p "$to"
    cp "${CARGO_TARGET_DIR:-$root/target}/release/lmplan" "$to/lmplan"
    strip "$to/lmplan"
    cp -r "$root/scripts/gpu-check/." "$to/"
    cp "$self/gpu-check.sh" "$to/"
    local kib
    kib=$(du -sk "$to" | cut -f1)
    echo "$to: $kib KiB"
    [ "$kib" -lt 65536 ] || { echo "more than 64 MiB" >&2; exit 1; }
}

if [ "${1:-}" = pack ]; then
    pack "${2:-}"
    exit
fi

device=cuda only=here,numerics,calibrate,roles,whole,measured out=${OUT:-}
while [ $# -gt 0 ]; do
    case $1 in
    --device) device=${2:-} && shift ;;
    --only) only=${2:-} && shift ;;
    -*) sed -n '2,18s/^# \{0,1\}//p' "$0" && exit 2 ;;
    *) out=$1 ;;
    esac
    shift
done
case $device in cuda | cpu) ;; *) echo "--device cuda or cpu" >&2 && exit 2 ;; esac
out=${out:-gpu-check-results}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Packed, everything stands beside this script; in the repository, in scripts/gpu-check and target.
plans=$self
program=${LMPLAN:-$self/lmplan}
if [ -d "$self/gpu-check" ]; then
    plans=$self/gpu-check
    program=${LMPLAN:-$self/../target/release/lmplan}
fi
[ -x "$program" ] || { echo "no program at $program" >&2 && exit 7; }
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
cd "$plans" || exit 1

# libtorch: that of the machine's Python, or LIBTORCH, or the repository's.
torch=$(python3 -c 'import importlib.util as u; print(u.find_spec("torch").submodule_search_locations[0])' 2>/dev/null)
[ -n "$torch" ] || torch=${LIBTORCH:-$self/../target/libtorch/torch}
libraries=$torch/lib
for folder in "$torch"/../nvidia/*/lib; do
    [ -d "$folder" ] && libraries=$libraries:$folder
done
[ ! -d /usr/local/nvidia/lib64 ] || libraries=$libraries:/usr/local/nvidia/lib64
export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export RUST_BACKTRACE=1

limit=${LMPLAN_GPU_SECONDS:-480}
begun=$SECONDS
failed=0
summary=$out/summary.md
{
    echo "# lmplan on $device"
    echo
    echo "| step | seconds | exit code | how it ended |"
    echo "|---|---:|---:|---|"
} >"$summary"

# step NAME SECONDS COMMAND...: runs it with a limit, standard output to NAME.txt, everything else to
# NAME.log, with what is needed to see why it failed.
step() {
    local name=$1 seconds=$2 left=$((limit - (SECONDS - begun))) start code how
    shift 2
    if [ "$left" -lt 5 ]; then
        echo "| $name | 0 | | left out: no time is left |" >>"$summary"
        return
    fi
    [ "$seconds" -lt "$left" ] || seconds=$left
    start=$(date +%s.%N)
    {
        echo "+ $*"
        echo "cwd $PWD, limit $seconds s, LD_LIBRARY_PATH $LD_LIBRARY_PATH"
    } >"$work/$name.log"
    timeout -k 5 "$seconds" "$@" >"$work/$name.txt" 2>>"$work/$name.log"
    code=$?
    [ "$code" -eq 0 ] || failed=6
    seconds=$(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }')
    case $code in
    0) how=done ;;
    6) how="off: $(tail -n 1 "$work/$name.log" | cut -c 1-160)" ;;
    124 | 137) how="ran out of its time, or was killed" ;;
    *) how=$(grep -v '^$' "$work/$name.log" | tail -n 1 | cut -c 1-160) ;;
    esac
    if [ "$code" -ne 0 ] && [ "$code" -ne 6 ]; then
        {
            echo "-- exit code $code; memory, GPU and kernel afterwards:"
            free -m
            [ "$device" = cpu ] || timeout 10 nvidia-smi
            dmesg 2>&1 | tail -n 15
        } >>"$work/$name.log" 2>&1
    fi
    echo "| $name | $seconds | $code | ${how//|/ } |" >>"$summary"
    cp "$summary" "$work/"
    tar -czf "$out/results.part" -C "$work" . && mv "$out/results.part" "$out/results.tar.gz"
    printf '%-40s %8s s  %s %s\n' "$name" "$seconds" "$code" "$how" >&2
}

wanted() { case ,$only, in *,$1,*) return 0 ;; *) return 1 ;; esac }

# What is there. Reads alone.
machine() {
    date -u
    uname -a
    nproc
    free -m
    python3 --version
    cat "$torch/version.py" "$torch/build-version" 2>/dev/null
    echo "-- libraries of $program"
    ldd "$program"
    ls -la "$torch/lib"
    "$program" --version
    if [ "$device" = cuda ]; then
        nvidia-smi
        nvidia-smi -q
        # The libraries come from the disk once, and not in the first step that is timed.
        cat "$torch"/lib/lib*.so* "$torch"/../nvidia/*/lib/lib*.so* 2>/dev/null | wc -c
    else
        grep -m 1 'model name' /proc/cpuinfo
    fi
    return 0
}

export -f machine
export program torch device

# The plans, and how often each is timed.
if [ "$device" = cuda ]; then
    set_of=. repeats=10 ranks=8 quick=()
else
    set_of=small repeats=2 ranks=2 quick=(--quick)
fi
measured=$work/measured.yaml

numerics() {
    local plan
    for plan in "$set_of"/numerics/*.yaml; do
        step "numerics-$(basename "$plan" .yaml)" 60 "$program" verify "$plan" --device "$device" \
            --mode numerics --ranks "$ranks" --format json
    done
}

# timed MODE SECONDS LABEL OPTION...: the plans of a mode, with the comparison's pages.
timed() {
    local mode=$1 seconds=$2 label=$3 plan name
    shift 3
    for plan in "$set_of/$mode"/*.yaml; do
        name=$mode-$(basename "$plan" .yaml)$label
        step "$name" "$seconds" "$program" verify "$plan" --device "$device" --mode "$mode" \
            --steps "$repeats" --tolerance 10 --format json -o "$work/pages/$name" "$@"
    done
}

! wanted here || step here 60 bash -c machine
! wanted numerics || numerics
if wanted calibrate; then
    step calibrate 180 "$program" calibrate --device "$device" ${quick[@]+"${quick[@]}"} -o "$measured"
    [ ! -f "$measured" ] || cp "$measured" "$out/measured.yaml"
fi
! wanted roles || timed roles 45 ""
! wanted whole || timed whole 45 ""
if wanted measured && [ -f "$measured" ]; then
    timed roles 30 -measured --device-file "$measured"
    timed whole 30 -measured --device-file "$measured"
fi

# One line of numbers for each comparison.
python3 - "$work" >>"$summary" <<'PYTHON'
import json, pathlib, sys

print("\n| comparison | predicted | measured | error | memory predicted | measured | error | over |")
print("|---|---:|---:|---:|---:|---:|---:|---|")
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.txt")):
    try:
        found = json.loads(path.read_text())
        timing = found["timing"]["iteration"]
        memory = found["memory"]
        gib = lambda key: f"{memory[key] / 2**30:.2f} GiB"
        print(
            f"| {path.stem} | {1e3 * timing['predicted_s']:.2f} ms | {1e3 * timing['measured_s']:.2f} ms "
            f"| {100 * timing['error']:+.1f} % | {gib('predicted_bytes')} | {gib('measured_bytes')} "
            f"| {100 * memory['error']:+.1f} % | {found.get('transport', '')} |"
        )
    except (ValueError, KeyError, TypeError):
        pass
print("\n| numerics | ranks | loss off by | gradients off by | allowed | passed |")
print("|---|---:|---:|---:|---:|---|")
for path in sorted(pathlib.Path(sys.argv[1]).glob("numerics-*.txt")):
    try:
        found = json.loads(path.read_text())["numerics"]
        print(
            f"| {path.stem} | {found['ranks']} | {found['loss_max_error']:.1e} "
            f"| {found['gradient_max_error']:.1e} | {found['tolerance']:.0e} | {found['passed']} |"
        )
    except (ValueError, KeyError, TypeError):
        pass
PYTHON
echo >>"$summary"
echo "$((SECONDS - begun)) seconds in all" >>"$summary"
cp "$summary" "$work/"
tar -czf "$out/results.part" -C "$work" . && mv "$out/results.part" "$out/results.tar.gz"
cat "$summary"
exit "$failed"

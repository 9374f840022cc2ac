#!/usr/bin/env bash
# Fuzzes with libFuzzer: every target, or those that are named, each for some seconds.
#
#     tests/fuzz.sh SECONDS [TARGET...]
#
# It starts from tests/fuzz/corpus/TARGET; what it finds that is new stays in build/fuzz/corpus/TARGET,
# inputs that crash a target in build/fuzz/crash/TARGET-*. Those worth keeping belong into
# tests/fuzz/corpus, where `make test` replays them.
set -u
cd "$(dirname "$0")/.." || exit 2
seconds=$1
shift
[ $# -gt 0 ] || set -- tests/fuzz/fuzz_*.c

mkdir -p build/fuzz/crash
failed=0
for target; do
    target=${target#tests/fuzz/fuzz_} target=${target%.c}
    program=build/fuzz/fuzz/$target
    [ -x "$program" ] || { echo "fuzz: there is no target $target" >&2; exit 2; }
    mkdir -p "build/fuzz/corpus/$target"
    options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
        -artifact_prefix="build/fuzz/crash/$target-")
    [ -f "tests/fuzz/$target.dict" ] && options+=(-dict="tests/fuzz/$target.dict")
    if "$program" "${options[@]}" "build/fuzz/corpus/$target" "tests/fuzz/corpus/$target" >"build/fuzz/$target.log" 2>&1; then
        awk -v t="$target" '/^stat::number_of_executed_units/ {n=$2} /^stat::new_units_added/ {u=$2}
            / cov: / {c=$4} END {printf "fuzz: %s: %d runs, %d new inputs, %s edges\n", t, n, u, c}' "build/fuzz/$target.log"
    else
        failed=1
        tail -60 "build/fuzz/$target.log"
        echo "fuzz: $target FAILED: see build/fuzz/$target.log and build/fuzz/crash/$target-*"
    fi
done
exit $failed

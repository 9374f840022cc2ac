#!/usr/bin/env bash
# Runs the unit tests and the integration suites of one build or several and sums them up:
#
#     tests/run.sh [-b BUILD]... [-j JOBS] [SUITE...]
#
# BUILD: directory with the programs (default build/release; POLLUX_SUITES_<name of the directory with
# - as _> may name the suites for it). SUITE: "unit" or the name of a file tests/*/NAME.test.mjs;
# default: all. The last line is "N passed, N failed"; the exit status tells the same.
set -u
cd "$(dirname "$0")/.." || exit 2

builds=() jobs=2
while getopts b:j: opt; do
    case $opt in
    b) builds+=("$OPTARG") ;;
    j) jobs=$OPTARG ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
[ ${#builds[@]} -gt 0 ] || builds=(build/release)

work=$(mktemp -d) || exit 2
children=()
cleanup() {
    for pid in "${children[@]}"; do kill "$pid" 2>/dev/null; done
    wait
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# Prints "passed failed" of a log: node's TAP summary, or cmocka's.
count_tap() { awk '/^# pass /{p=$3} /^# fail /{f=$3} /^# cancelled /{c=$3} END{print p+0, f+c+0}' "$1"; }
count_cmocka() {
    awk '/^\[  PASSED  \] [0-9]+ test/{p+=$4} /^\[  FAILED  \] [0-9]+ test/{f+=$4} END{print p+0, f+0}' "$1"
}

# Sanitizers report into files beside the log OUT, so that nothing is missed, whichever process of a
# suite it was and whatever became of its stderr.
watch_sanitizers() {
    local common=abort_on_error=1:log_path=$1.sanitizer
    export ASAN_OPTIONS=detect_leaks=1:$common
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:$common
    export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1:$common
}

# Adds the reports to the log; returns 1 when there were some.
sanitizers_silent() {
    local report reports=("$1".sanitizer.*)
    [ -e "${reports[0]}" ] || return 0
    for report in "${reports[@]}"; do
        echo "--- report of a sanitizer:"
        head -100 "$report"
    done >>"$1.log"
    return 1
}

# run_unit BUILD: every unit test program, one after the other.
run_unit() {
    local build=$1 out=$2 p f passed=0 failed=0 t
    watch_sanitizers "$out"
    for t in "$build"/unit/test_*; do
        [ -x "$t" ] && [ ! -d "$t" ] || continue
        case $t in *.log | *.d) continue ;; esac
        if ! "$t" >"$out.one" 2>&1; then
            echo "--- $t" >>"$out.log"
            cat "$out.one" >>"$out.log"
        fi
        read -r p f < <(count_cmocka "$out.one")
        [ "$((p + f))" -gt 0 ] || f=1 # it ended before its summary
        passed=$((passed + p)) failed=$((failed + f))
    done
    sanitizers_silent "$out" || [ $failed -gt 0 ] || failed=1
    echo "$passed $failed" >"$out.count"
}

# run_suite BUILD SUITE: one file of node tests. One that hangs is ended after ten minutes, with
# whatever it says on SIGTERM; the limit is for the day when something is broken.
run_suite() {
    local build=$1 suite=$2 out=$3 p f status
    watch_sanitizers "$out"
    POLLUX_BUILD=$build timeout --foreground -k 10 "${POLLUX_SUITE_SECONDS:-600}" \
        node --test-reporter=spec --test-reporter-destination=stdout \
        --test-reporter=tap --test-reporter-destination="$out.tap" \
        tests/*/"$suite.test.mjs" >"$out.log" 2>&1
    status=$?
    [ $status -ne 124 ] || echo "the suite did not end by itself" >>"$out.log"
    read -r p f < <(count_tap "$out.tap" 2>/dev/null || echo 0 0)
    [ $status -eq 0 ] || [ "$f" -gt 0 ] || f=1 # it broke outside of a test
    sanitizers_silent "$out" || [ "$f" -gt 0 ] || f=1
    [ "$((p + f))" -gt 0 ] || grep -q '^# skipped [1-9]' "$out.tap" || f=1
    echo "$p $f" >"$out.count"
}

suites_of() {
    local name var
    name=$(basename "$1")
    var=POLLUX_SUITES_${name//[^a-zA-Z0-9]/_}
    if [ -n "${!var:-}" ]; then
        echo "${!var}"
    else
        # shellcheck disable=SC2046
        # The longest first, so that the end is not one suite alone.
        echo unit recovery standstill careful outage replay badinput phoenixjs longpoll fcgi \
            $(ls tests/*/*.test.mjs | sed 's|.*/||; s/\.test\.mjs$//' |
                grep -vxE 'recovery|standstill|careful|outage|replay|badinput|phoenixjs|longpoll|fcgi')
    fi
}

run_one() {
    local build=$1 suite=$2 out=$3 start=$SECONDS p f
    : >"$out.log"
    if [ "$suite" = unit ]; then run_unit "$build" "$out"; else run_suite "$build" "$suite" "$out"; fi
    read -r p f <"$out.count"
    {
        if [ "$f" -gt 0 ]; then cat "$out.log"; else grep -E '^(deviations:|CPU|[0-9]+ (messages|pushes))' "$out.log"; fi
        echo "$build: $suite: $p passed, $f failed ($((SECONDS - start)) s)"
    } >"$out.report"
    # One at a time, so that reports do not mix.
    flock "$work/lock" cat "$out.report"
}

n=0
for build in "${builds[@]}"; do
    list=$*
    [ -n "$list" ] || list=$(suites_of "$build")
    for suite in $list; do
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
        n=$((n + 1))
        run_one "$build" "$suite" "$work/$n" &
        children+=($!)
    done
done
wait

passed=0 failed=0
for ((i = 1; i <= n; i++)); do
    read -r p f <"$work/$i.count" 2>/dev/null || { p=0 f=1; }
    passed=$((passed + p)) failed=$((failed + f))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]

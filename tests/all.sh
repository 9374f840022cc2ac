#!/usr/bin/env bash
# Everything that `make test` proves, after it has installed what that needs. Each step is a line with
# its time; what a failed step said follows it. The last line is "N passed, N failed" over all steps
# (a step that counts nothing itself counts as one test); the exit status tells the same.
#
# Which build runs what:
#   release        unit tests, and most suites
#   ASan + UBSan   unit tests, the fuzz corpora, every suite
#   TSan           the tests of what threads hand over in fcgi/
set -u
cd "$(dirname "$0")/.." || exit 2
unset MAKEFLAGS MFLAGS MAKELEVEL
started=$SECONDS
release=build/release asan=build/san-address-undefined tsan=build/san-thread
logs=build/test
rm -rf "$logs"
mkdir -p "$logs"

# Limits of time and memory hold for the release build (with sanitizers they are stretched), valgrind
# wants one without sanitizers, and races are others in it. Some suites run once only: they are about
# the protocol, about rules and messages, or wait for minutes until something is over, and nothing in
# them depends on the build.
once='careful|replay|dev_faults|standstill|presence_outage|terminate|cgi|rules|token|auth|expiry|examples|vanish'
POLLUX_SUITES_release="unit careful $(ls tests/*/*.test.mjs | sed 's|.*/||; s/\.test\.mjs$//' |
    grep -vxE "$once" | tr '\n' ' ')"
export POLLUX_SUITES_release

passed=0 failed=0
count() { # STATUS LOG: adds what the log's last line says, or one test
    local p=1 f=0
    if [[ $(tail -n 1 "$2") =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
        p=${BASH_REMATCH[1]} f=${BASH_REMATCH[2]}
    elif [ "$1" -ne 0 ]; then
        p=0 f=1
    fi
    [ "$1" -eq 0 ] || [ "$f" -gt 0 ] || f=1
    passed=$((passed + p)) failed=$((failed + f))
    [ "$f" -eq 0 ]
}

# step NAME COMMAND...: quiet unless it fails.
step() {
    local name=$1 begun=$SECONDS log=$logs/${1//[^a-zA-Z0-9]/-}.log status verdict=ok
    shift
    "$@" >"$log" 2>&1
    status=$?
    count $status "$log" || verdict=FAILED
    [ $verdict = ok ] || tail -n 200 "$log"
    printf '%-34s %6s  %4d s\n' "$name" $verdict $((SECONDS - begun))
    [ $verdict = ok ]
}

# told NAME COMMAND...: a command that reports as it goes.
told() {
    local name=$1 begun=$SECONDS log=$logs/${1//[^a-zA-Z0-9]/-}.log status verdict=ok
    shift
    "$@" 2>&1 | tee "$log" | sed -u '/^[0-9]* passed, [0-9]* failed$/d; s/^/  /'
    status=${PIPESTATUS[0]}
    count "$status" "$log" || verdict=FAILED
    printf '%-34s %6s  %4d s\n' "$name" $verdict $((SECONDS - begun))
}

finish() {
    echo "all of it: $((SECONDS - started)) s; logs in $logs"
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}

replay_corpora() {
    local program ok=0 bad=0
    export ASAN_OPTIONS=detect_leaks=1:abort_on_error=1
    export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1:abort_on_error=1
    for program in tests/fuzz/fuzz_*.c; do
        program=${program##*/fuzz_}
        program=${program%.c}
        echo "--- $program"
        if "$asan/fuzz/$program" "tests/fuzz/corpus/$program"; then ok=$((ok + 1)); else bad=$((bad + 1)); fi
    done
    echo "$ok passed, $bad failed"
}

# A failed build is the end: nothing that follows would mean anything.
build() { step "$@" || finish; }

build 'build release' make -j"$(nproc)" all units
build 'build ASan + UBSan' make -j"$(nproc)" SAN=address,undefined all units fuzzers
build 'build TSan' make -j"$(nproc)" SAN=thread units-fcgi
step 'lint' tests/lint.sh
step 'install, a module, uninstall' tests/install.sh
step 'fuzz corpora, ASan + UBSan' replay_corpora
step 'FastCGI hand-over, TSan' tests/run.sh -b $tsan unit
told 'suites' tests/run.sh -b $asan -b $release
finish

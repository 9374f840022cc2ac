#!/usr/bin/env bash
# Runs the measurements of tests/bench against a build: all, or those that are named.
#
#     tests/bench.sh BUILD [NAME...]
#
# A measurement is a file tests/bench/NAME.mjs or NAME.bench.mjs; it prints its figures and exits non-zero when
# it could not measure, or when a bound that it states is broken.
set -u
cd "$(dirname "$0")/.." || exit 2
export POLLUX_BUILD=$1
shift
[ $# -gt 0 ] || set -- tests/bench/*.mjs

ulimit -n "$(ulimit -Hn)" # thousands of connections
failed=0
for name; do
    name=${name#tests/bench/} name=${name%.mjs} name=${name%.bench}
    echo "--- $name"
    node "tests/bench/$name"*.mjs || { echo "bench: $name FAILED"; failed=1; }
done
exit $failed

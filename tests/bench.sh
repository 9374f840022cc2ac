#!/usr/bin/env bash
# Runs the measurements of tests/bench against a build: all, or those that are named.
#
#     tests/bench.sh BUILD [NAME...]
#
# A measurement is a file tests/bench/NAME.bench.mjs; it prints its figures and exits non-zero when
# it could not measure, or when a bound that it states is broken.
set -u
cd "$(dirname "$0")/.." || exit 2
export POLLUX_BUILD=$1
shift
[ $# -gt 0 ] || set -- $(ls tests/bench/*.bench.mjs 2>/dev/null | sed 's|.*/||; s|\.bench\.mjs$||')
[ $# -gt 0 ] || { echo "bench: there is nothing in tests/bench" >&2; exit 2; }

failed=0
for name; do
    echo "--- $name"
    node "tests/bench/$name.bench.mjs" || { echo "bench: $name FAILED"; failed=1; }
done
exit $failed

#!/usr/bin/env bash
# Runs the tests against a build that counts (make COV=1) and prints the share of lines run, by file.
#
#     tests/coverage.sh BUILD [SUITE...]
#
# Without suites: the unit tests, the fuzz corpora and every integration suite but those that kill
# workers with SIGKILL, for what is killed writes no counts.
set -u
cd "$(dirname "$0")/.." || exit 2
build=$1
shift
[ $# -gt 0 ] || set -- unit fcgi longpoll delivery replay badinput phoenixjs outage dev

find "$build" -name '*.gcda' -delete
status=0
tests/run.sh -b "$build" "$@" || status=1
for target in "$build"/fuzz/*; do
    "$target" "tests/fuzz/corpus/${target##*/}" >/dev/null 2>&1 || status=1
done

find "$build/obj" -name '*.gcda' -not -path '*/obj/tests/*' -print0 | xargs -0 gcov -n 2>/dev/null |
    awk -F "[':% ]+" '
        /^File / { file = $2; next }
        /^Lines executed/ && file ~ /^(base|store|channel|transport|fcgi)\/.*\.c$/ {
            all[file] = $5; run[file] = $3 * $5 / 100
        }
        { file = "" }
        END {
            for (f in all) {
                printf "%6.1f%% of %5d lines  %s\n", 100 * run[f] / all[f], all[f], f | "sort -n"
                a += all[f]
                r += run[f]
            }
            close("sort -n")
            if (a) printf "%6.1f%% of %5d lines  in all\n", 100 * r / a, a
        }'
exit $status

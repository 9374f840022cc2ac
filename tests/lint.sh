#!/usr/bin/env bash
# House rules that a machine can check. Prints what breaks them; exit status 1 if anything does.
#   - dependencies point one way: fcgi -> transport -> channel -> store -> base
#   - every header compiles alone
#   - no file has more than 1000 lines
#   - .c and .h files are formatted as .clang-format says (`make format` does it), shell scripts are
#     clean for shellcheck; both only where the tool is there, clang-format in Debian 12's version,
#     because others format differently
set -u
cd "$(dirname "$0")/.." || exit 2
bad=0
say() { echo "lint: $*"; bad=1; }

[ -n "$(git ls-files Makefile 2>/dev/null)" ] || say "git does not list the files here, so not all can be looked at"

declare -A rank=([base]=0 [store]=1 [channel]=2 [transport]=3 [fcgi]=4)
while IFS=: read -r file _ line; do
    from=${file%%/*}
    to=$(sed -n 's/.*"\([a-z]*\)\/.*/\1/p' <<<"$line")
    [ -n "${rank[$from]:-}" ] && [ -n "${rank[$to]:-}" ] || continue
    [ "${rank[$to]}" -le "${rank[$from]}" ] || say "$file looks upward: $line"
done < <(grep -nE '^#include "[a-z]+/' {base,store,channel,transport,fcgi}/*.[ch] channel/cli/*.[ch])

read -ra cc <<<"${CC:-cc}" # may be several words: ccache gcc
read -ra cflags < <(pkg-config --cflags hiredis json-c libcrypto zlib)
for h in {base,store,channel,transport,fcgi}/*.h channel/cli/*.h; do
    echo "#include \"$h\"" | "${cc[@]}" -std=c11 -D_GNU_SOURCE -Wall -Wextra -I. \
        "${cflags[@]}" -fsyntax-only -x c - || say "$h does not compile alone"
done

while read -r lines file; do
    [ "$file" = total ] || [ "$lines" -le 1000 ] || say "$file has $lines lines"
done < <(git ls-files '*.c' '*.h' | xargs wc -l)

if clang-format --version 2>/dev/null | grep -q 'version 14\.'; then
    while read -r file; do
        say "$file is not formatted: make format"
    done < <(git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror 2>&1 | sed -n 's/^\([^ :]*\):[0-9].*error.*/\1/p' | sort -u)
else
    echo "lint: there is no clang-format 14, so the format is not looked at" >&2
fi

if command -v shellcheck >/dev/null; then
    git ls-files '*.sh' .ci/run | xargs shellcheck -S warning || say "shellcheck is not content"
else
    echo "lint: there is no shellcheck, so shell scripts are not looked at" >&2
fi

exit $bad

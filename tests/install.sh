#!/usr/bin/env bash
# `make install` into an empty directory; the channel module of the README is compiled against the
# installed headers alone, as C and as C++, and loaded by the installed program; `make uninstall`
# leaves no file.
set -eu
cd "$(dirname "$0")/.."
unset MAKEFLAGS MFLAGS MAKELEVEL
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
to=$work/root

read -ra cc <<<"${CC:-cc}"
say() { echo "install: $*"; }

make --no-print-directory install DESTDIR="$to" PREFIX=/usr
for f in bin/pollux bin/pollux-fcgi bin/pollux-ws include/pollux/backend.h include/pollux/slice.h \
    include/pollux/error.h include/pollux/test.h lib/libpollux-test.a \
    lib/pkgconfig/pollux-module.pc lib/pkgconfig/pollux-test.pc \
    share/pollux/demo.conf share/pollux/publish.lua share/pollux/control.lua share/pollux/info.lua share/pollux/demo/index.html share/doc/pollux/pollux.conf.example \
    share/doc/pollux/examples/php/lib/pollux.php share/doc/pollux/examples/game/game.c share/doc/pollux/lighttpd.conf share/doc/pollux/nginx.conf share/doc/pollux/apache.conf; do
    [ -s "$to/usr/$f" ] || { say "there is no $f"; exit 1; }
done
for p in pollux pollux-fcgi pollux-ws; do "$to/usr/bin/$p" --version; done
if grep -rn /usr/local "$to/usr/lib/systemd"; then
    say "these still name /usr/local"
    exit 1
fi

# Each public header compiles alone, also as C++, with warnings that a strict author has on.
export PKG_CONFIG_SYSROOT_DIR=$to PKG_CONFIG_PATH=$to/usr/lib/pkgconfig
read -ra cflags < <(pkg-config --cflags pollux-module)
strict=(-Wall -Wextra -Wpedantic -Wshadow -Werror -fsyntax-only)
for h in "$to"/usr/include/pollux/*.h; do
    for as in 'c -std=c11 -Wstrict-prototypes' 'c++ -std=c++11'; do
        read -ra language <<<"$as"
        echo "#include <pollux/${h##*/}>" |
            "${cc[@]}" -x "${language[@]}" "${strict[@]}" "${cflags[@]}" - ||
            { say "${h##*/} does not compile as $as"; exit 1; }
    done
done
abi=$(pkg-config --variable=abi_version pollux-module)
grep -q "^#define PLX_BACKEND_ABI $abi\$" "$to/usr/include/pollux/backend.h" ||
    { say "pollux-module.pc is about another interface, \"$abi\""; exit 1; }
[ "$(pkg-config --define-variable=prefix=/usr --variable=moduledir pollux-module)" = /usr/lib/pollux ] &&
    [ -d "$to/usr/lib/pollux" ] || { say "moduledir is not the place for modules"; exit 1; }

# The first block of C in the README is a whole module.
awk '/^```c$/ {on = 1; next} /^```$/ {if (on) exit} on' README.md >"$work/hello.c"
cat "$work/hello.c"
"${cc[@]}" -std=c11 -Wall -Wextra -Wno-unused-parameter -Wpedantic -Wmissing-prototypes -Werror -shared -fPIC \
    "${cflags[@]}" -o "$work/hello.so" "$work/hello.c"
# C++ has members named in initializers since 2020, and warns about those left out.
"${cc[@]}" -x c++ -std=c++20 -Wall -Wextra -Wno-unused-parameter -Wno-missing-field-initializers -Wpedantic -Werror -shared -fPIC \
    "${cflags[@]}" -o "$work/hello++.so" "$work/hello.c"

# Its unit test: the module linked into the test, or loaded by it; and one that has to fail.
cat >"$work/hello_test.c" <<'END'
#include <pollux/test.h>

int main(int argc, char **argv)
{
    plx_test *t = plx_test_new();
    plx_test_socket *s = plx_test_connect(t, NULL);

    if (argc > 1)
        plx_test_module(t, "room:*", argv[1], NULL);
    else
        plx_test_channel(t, "room:*", pollux_backend(), NULL);
    plx_test_assert_reply(s, plx_test_join(s, "room:1", NULL), "ok", "{'hello': 'there'}");
    plx_test_assert_reply(s, plx_test_push(s, "room:1", "hi", "{'n': 1}"), "ok", "{}");
    plx_test_assert_push(s, "room:1", "hi", argc > 2 ? argv[2] : "{'n': 1}");
    plx_test_free(t);
    return 0;
}
END
read -ra kit < <(pkg-config --cflags --libs pollux-test)
"${cc[@]}" -std=c11 -Wall -Wextra -Wno-unused-parameter -Wpedantic -Werror \
    -o "$work/hello_test" "$work/hello_test.c" "$work/hello.c" "${kit[@]}"
"$work/hello_test" || { say "the test of the linked module failed"; exit 1; }
"$work/hello_test" "$work/hello++.so" || { say "the test of the loaded module failed"; exit 1; }
if bash -c "ulimit -c 0; \"\$@\"" - "$work/hello_test" "$work/hello.so" "{'n': 2}" >"$work/said" 2>&1; then
    say "a test that should fail passed"
    exit 1
fi
grep -q "hello_test.c:14: expected a push \"hi\" on \"room:1\" like {'n': 2}" "$work/said" &&
    grep -q 'push      "room:1" "hi" {"n":1}' "$work/said" ||
    { say "a failing test said: $(cat "$work/said")"; exit 1; }

cat >"$work/pollux.conf" <<END
secret = "0123456789abcdef0123456789abcdef"
socket "/socket" {
    channel "room:*" {
        backend = "module"
        path = "$work/hello.so"
    }
}
END
"$to/usr/bin/pollux" check --config "$work/pollux.conf" --no-redis

# The installed program loads it: a join is answered by the module.
"$to/usr/bin/pollux" dev --config "$work/pollux.conf" --state "$work/state" >"$work/ready" &
dev=$!
trap '{ kill $dev && wait $dev; } 2>/dev/null || true; rm -rf "$work"' EXIT
while [ ! -s "$work/ready" ]; do
    kill -0 $dev || { say "pollux dev ended"; exit 1; }
    sleep 0.1
done
poll="$(sed 's/^ready //' "$work/ready")socket/longpoll?vsn=2.0.0"
answer=$(curl -sS "$poll")
poll="$poll&token=$(sed 's/.*"token":"\([^"]*\)".*/\1/' <<<"$answer")"
curl -sS -d '["1","1","room:a","phx_join",{}]' "$poll"
answer=$(curl -sS "$poll")
case $answer in
*'{\"hello\":\"there\"}'*) ;;
*) say "the module did not answer the join: $answer"; exit 1 ;;
esac
kill $dev
wait $dev

make --no-print-directory uninstall DESTDIR="$to" PREFIX=/usr
left=$(find "$to" -type f)
[ -z "$left" ] || { say "uninstall left: $left"; exit 1; }

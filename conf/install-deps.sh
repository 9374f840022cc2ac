#!/bin/sh
# Installs the Debian packages that a purpose needs and that are not there yet.
#
#   conf/install-deps.sh build|run|examples|test|dev
#
# Says what is missing and what it will do before it does it; does nothing, quickly, when nothing is
# missing. The list is conf/packages.apt.
set -eu

purpose=${1:-}
list=$(dirname "$0")/packages.apt
PATH=$PATH:/usr/sbin:/sbin

case $purpose in
    build) wanted='build' ;;
    run) wanted='build run' ;;
    examples) wanted='build run examples' ;;
    test) wanted='build run examples test' ;;
    dev) wanted='build dev' ;;
    *) echo "usage: $0 build|run|examples|test|dev" >&2; exit 2 ;;
esac

say() { echo "deps: $*" >&2; }

fail() { say "$@"; exit 1; }

# The packages of the wanted purposes, but for those whose command is there.
candidates() {
    while read -r kind package command _; do
        case " $wanted " in *" $kind "*) ;; *) continue ;; esac
        if [ -n "$command" ] && command -v "$command" > /dev/null 2>&1; then continue; fi
        echo "$package"
    done < "$list"
}

# Those of the given packages that dpkg does not know as installed.
not_installed() {
    [ $# -gt 0 ] || return 0
    present=$(dpkg-query -W -f '${binary:Package} ${db:Status-Status}\n' "$@" 2> /dev/null |
        sed -n 's/^\([^: ]*\)[^ ]* installed$/\1/p') || true
    for package in "$@"; do
        case "
$present
" in *"
$package
"*) ;; *) echo "$package" ;; esac
    done
}

names() { tr '\n' ' ' | sed 's/ *$//'; }

found=$(candidates)
if ! command -v dpkg-query > /dev/null 2>&1; then
    [ -n "$found" ] || exit 0
    say "this is no Debian, so nothing can be installed for you. Going on without a check;"
    say "where something is missing, look for your system's counterparts of: $(echo "$found" | names)"
    exit 0
fi
# shellcheck disable=SC2086
missing=$(not_installed $found | names)

# ---- installing ----

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian starts the services of what it installs. Pollux brings its own copies up, on its own ports,
# so they are not started now, nor at the next boot, unless they were there before.
policy=/usr/sbin/policy-rc.d

hold_services() {
    [ -e $policy ] && return 0
    printf '#!/bin/sh\nexit 101\n' | as_root sh -c "cat > $policy && chmod 755 $policy"
    trap 'as_root rm -f $policy' EXIT
}

disable_services() {
    command -v systemctl > /dev/null 2>&1 || return 0
    for unit in redis-server lighttpd nginx apache2; do
        case " $missing " in *" $unit"*) as_root systemctl -q disable "$unit" 2> /dev/null || true ;; esac
    done
    case " $missing " in *" php-fpm "*) ;; *) return 0 ;; esac
    for unit in /lib/systemd/system/php*-fpm.service; do # its name has PHP's version
        as_root systemctl -q disable "${unit##*/}" 2> /dev/null || true
    done
}

if [ -n "$missing" ]; then
    prefix=
    if [ "$(id -u)" != 0 ]; then
        command -v sudo > /dev/null 2>&1 ||
            fail "missing: $missing. As root: apt-get install $missing"
        prefix='sudo '
    fi
    say "missing: $missing"
    say "running: ${prefix}apt-get update && ${prefix}apt-get install --no-install-recommends $missing"
    as_root apt-get -q update ||
        fail "apt-get update failed: is there a network? Nothing was installed."
    hold_services
    # shellcheck disable=SC2086
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends $missing ||
        fail "apt-get could not install: $missing (see above)"
    disable_services
fi

# ---- Node ----

case " $wanted " in *" run "*)
    version=$(node --version 2> /dev/null) || fail "node does not run"
    major=${version#v}
    major=${major%%.*}
    [ "$major" -ge 18 ] || fail "node is $version, and 18 or newer is needed"
    ;;
esac

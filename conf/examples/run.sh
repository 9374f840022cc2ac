#!/usr/bin/env bash
# Starts one of the examples with everything that it needs, and stops all of it on Ctrl-C:
#
#     conf/examples/run.sh NAME [--server lighttpd|nginx|apache] [--port N]
#
# Prints one line, "ready URL", on stdout. Nothing of the machine is touched: `pollux dev` brings a
# private Redis and the workers, and the web server gets the example's own file with its addresses
# replaced; what they write is in a temporary directory, and their logs are shown. On a real machine the
# files work as they stand, with these:
#
#     /srv/examples           where these examples are        127.0.0.1:8000   the site
#     /run/pollux/fcgi.sock   pollux-fcgi                     127.0.0.1:4100   pollux-ws
#     /run/php/php-fpm.sock   PHP                             127.0.0.1:8001   an application's own server
#
# As root, the web server and the application run as nobody, on a copy of the example.
set -u
PATH=$PATH:/usr/sbin:/sbin
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${POLLUX_BUILD:-$root/build/release}
case $build in /*) ;; *) build=$root/$build ;; esac

say() { echo "example: $*" >&2; }
fail() { say "$@"; exit 1; }
usage() { echo "usage: $0 NAME [--server lighttpd|nginx|apache] [--port N]; NAME: $(names)" >&2; exit 2; }
names() { (cd "$here" && printf '%s\n' */pollux.conf) | sed 's|/.*||' | tr '\n' ' '; }

name=${1:-} server='' port=0
[ -e "$here/$name/pollux.conf" ] && [ -n "$name" ] || usage
shift
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
    --server) server=$2 ;;
    --port) port=$2 ;;
    *) usage ;;
    esac
    shift 2
done
for s in lighttpd nginx apache; do [ -n "$server" ] || [ ! -e "$here/$name/$s.conf" ] || server=$s; done
[ -e "$here/$name/$server.conf" ] || fail "there is no $name/$server.conf"
[ -x "$build/bin/pollux" ] || fail "$build/bin/pollux is not there: run make first"

# ---- a place for it ----

work=$(mktemp -d "${TMPDIR:-/tmp}/pollux-example-XXXXXX") || exit 1
site=$work/site run=$work/run rooted=''
[ "$(id -u)" != 0 ] || rooted=yes
children=() shower=''

cleanup() {
    trap '' INT TERM
    # Pollux first: its workers say goodbye through the web server.
    for pid in "${children[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
    [ -z "$shower" ] || kill "$shower"
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 0' INT TERM

# start LOG COMMAND...: nothing that is started here outlives this script, also when that is killed.
start() {
    local log=$run/$1
    shift
    setpriv --pdeathsig TERM "$@" >>"$log" 2>&1 &
    children+=($!)
}
as_nobody() {
    local log=$1
    shift
    # What root has installed for itself alone, nobody can't run.
    [ -z "$rooted" ] || set -- setpriv --reuid nobody --regid nogroup --clear-groups --pdeathsig TERM \
        env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
    start "$log" "$@"
}

gone() { # tells that a part does not work
    sleep 0.3 # until its log is shown
    fail "$@"
}
# until_true WHAT COMMAND...: waits for at most 20 s, as long as everything started is still there.
until_true() {
    local what=$1 n pid
    shift
    for ((n = 0; n < 400; n++)); do
        "$@" 2>/dev/null && return
        for pid in "${children[@]}"; do kill -0 "$pid" 2>/dev/null || n=400; done
        sleep 0.05
    done
    gone "$what does not answer"
}
listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1"); }
free_port() { perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1")->sockport'; }

[ "$port" != 0 ] || port=$(free_port)
app_port=$(free_port)

mkdir -p "$site" "$run/sessions"
# What npm brings for the demonstration, the examples use, too.
modules=$root/conf/demo/node_modules
[ -e "$modules/phoenix" ] || fail "phoenix.js is missing: make deps-demo"
if [ -n "$rooted" ]; then
    mkdir -p "$site/node_modules/phoenix/priv/static"
    cp -r "$here/shared" "$here/$name" "$site"
    cp "$modules/phoenix/priv/static/phoenix.mjs" "$site/node_modules/phoenix/priv/static"
    chmod -R a+rX "$site"
    chown -R nobody "$run"
    chgrp nogroup "$work" && chmod g+x "$work"
else
    ln -s "$here/shared" "$here/$name" "$modules" "$site"
fi
touch "$run"/{pollux,app,web}.log
[ -z "$rooted" ] || chown nobody "$run"/*.log
setpriv --pdeathsig TERM tail -q -n +1 -F "$run"/{pollux,app,web}.log >&2 2>/dev/null &
shower=$!

# A file of the example with its addresses replaced.
ws=127.0.0.1:4100
translate() {
    sed -e "s|/srv/examples|$site|g" -e "s|/run/pollux/fcgi.sock|$work/state/run/fcgi.sock|g" \
        -e "s|127.0.0.1:4100|$ws|g" -e "s|\"port\" => 4100|\"port\" => ${ws##*:}|g" \
        -e "s|/run/php/php-fpm.sock|$run/php.sock|g" -e "s|127.0.0.1:8000|127.0.0.1:$port|g" \
        -e "s|/usr/local/lib/pollux/|$work/module/|g" -e "s|127.0.0.1:8001|127.0.0.1:$app_port|g" -e "s|\"port\" => 8001|\"port\" => $app_port|g" "$1"
}

# ---- a channel in C: against this Pollux, as it is when it is installed ----

if [ -e "$here/$name/$name.c" ]; then
    unset MAKEFLAGS MFLAGS MAKELEVEL
    variant=()
    case ${build##*/} in san-*) san=${build##*/san-} variant=("SAN=${san//-/,}") ;; esac
    cp -r "$here/$name" "$work/module"
    {
        make -s -C "$root" "${variant[@]}" install DESTDIR="$work/installed" PREFIX=/usr &&
            PKG_CONFIG_SYSROOT_DIR=$work/installed PKG_CONFIG_PATH=$work/installed/usr/lib/pkgconfig \
                make -s -C "$work/module" "$name.so"
    } >>"$run/app.log" 2>&1 || gone "$name.so can't be built"
fi

# ---- Pollux ----

translate "$here/$name/pollux.conf" >"$work/pollux.conf"
setpriv --pdeathsig TERM "$build/bin/pollux" dev --config "$work/pollux.conf" --state "$work/state" \
    >"$work/ready" 2>>"$run/pollux.log" &
children+=($!)
until_true "pollux dev" grep -q '^ready' "$work/ready"
ws=$(cat "$work/state/run/ws.listen")
if [ -n "$rooted" ]; then
    chgrp nogroup "$work"/state{,/run,/run/fcgi.sock}
    chmod g+x "$work"/state{,/run}
fi

# ---- the application, where it is a program of its own ----

if grep -q php-fpm.sock "$here/$name/$server.conf"; then
    fpm=$(find /usr/sbin /usr/local/sbin -name 'php-fpm*' 2>/dev/null | sort -V | tail -1)
    [ -n "$fpm" ] || fail "php-fpm is missing: conf/install-deps.sh examples"
    cat >"$work/php-fpm.conf" <<END
[global]
error_log = $run/app.log
[www]
listen = $run/php.sock
pm = ondemand
pm.max_children = 20
catch_workers_output = yes
decorate_workers_output = no
env[POLLUX_API] = http://127.0.0.1:$port/api
php_admin_value[session.save_path] = $run/sessions
END
    as_nobody app.log "$fpm" --nodaemonize --fpm-config "$work/php-fpm.conf"
    until_true "php-fpm" test -S "$run/php.sock"
fi
if [ -e "$here/$name/app.py" ]; then
    as_nobody app.log python3 "$site/$name/app.py" "127.0.0.1:$app_port"
    until_true "app.py" listens "$app_port"
fi

# ---- the web server, with the least around the example's file that it needs ----

frame_lighttpd() {
    echo "server.bind = \"127.0.0.1\"
server.port = $port
index-file.names = (\"index.php\", \"index.html\")
server.upload-dirs = (\"$run\")
mimetype.assign = (\".html\" => \"text/html\", \".mjs\" => \"text/javascript\", \".js\" => \"text/javascript\", \".css\" => \"text/css\")"
    translate "$here/$name/lighttpd.conf"
}

frame_nginx() {
    echo "daemon off;
pid $run/nginx.pid;
error_log $run/web.log;
events { worker_connections 512; }
http {
types { text/html html; text/javascript mjs js; text/css css; }
access_log off;"
    for t in client_body proxy fastcgi uwsgi scgi; do echo "${t}_temp_path $run/$t;"; done
    translate "$here/$name/nginx.conf"
    echo "}"
}

frame_apache() {
    # mod_cgi where a site has mod_cgid: that has a process which may miss the one SIGTERM it gets with -X.
    local m loaded="mpm_event authn_core authn_file authz_core authz_host authz_user auth_basic mime alias env proxy proxy_fcgi proxy_http cgi"
    echo "ServerRoot \"$work\"
ServerName 127.0.0.1
Listen 127.0.0.1:$port
PidFile $run/httpd.pid
ErrorLog $run/web.log
DefaultRuntimeDir $run
DocumentRoot \"$site\""
    for m in $loaded; do echo "LoadModule ${m}_module /usr/lib/apache2/modules/mod_$m.so"; done
    echo "TypesConfig /etc/mime.types"
    translate "$here/$name/apache.conf"
}

command -v "${server/apache/apache2}" >/dev/null || fail "$server is missing: conf/install-deps.sh examples"
"frame_$server" >"$work/web.conf"
case $server in
lighttpd) as_nobody web.log lighttpd -D -f "$work/web.conf" ;;
nginx)
    cp /etc/nginx/fastcgi_params "$work"
    as_nobody web.log nginx -c "$work/web.conf" -p "$work" -e "$run/web.log"
    ;;
apache) as_nobody web.log apache2 -X -f "$work/web.conf" ;;
esac
until_true "$server" listens "$port"

echo "ready http://127.0.0.1:$port/"
wait -n "${children[@]}" # a signal breaks it off
gone "a part of the example ended"

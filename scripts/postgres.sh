#!/usr/bin/env bash
# A real PostgreSQL for the tests, reached by a socket that no other user reaches. Usage: scripts/postgres.sh start|url|stop|status [folder]
# The data is in the folder (.tools/postgres), or in /var/tmp where the server's user cannot reach that. Root needs such a user,
# since PostgreSQL does not run as root: postgres, else nobody. The url suits sqlx and psql; status exits 3 when nothing runs.
set -euo pipefail
unset "${!PG@}" # settings of somebody else's database

OLDEST=15
INSTALLED=/usr/lib/postgresql # Debian keeps each version's server there, outside of PATH
SUPERUSER=claviger
DATABASE=claviger
PORT=5432 # names the socket; there is no TCP
PATIENCE=60 # seconds to start or to stop

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { printf 'postgres: %s\n' "$*"; }
die() { printf 'postgres: %s\n' "$*" >&2; exit 1; }
is_root() { [ "$(id -u)" -eq 0 ]; }

start() {
    if find_server && place && answers; then return; fi
    serialised start_server
}

stop() {
    if ! find_server; then
        say "nothing runs"
        return
    fi
    place
    serialised stop_server
}

status() {
    if ! find_server || ! { place && answers; }; then
        say "nothing runs"
        exit 3
    fi
    say "runs on $data"
}

# find_server: sets bin to the folder of a server that is new enough.
find_server() {
    local initdb
    while read -r initdb; do
        bin=$(dirname "$(readlink -f "$initdb")")
        if new_enough; then return 0; fi
    done < <(type -aP initdb; printf '%s\n' "$INSTALLED"/*/bin/initdb | sort -rV)
    return 1
}

new_enough() {
    local binary
    for binary in initdb pg_ctl pg_isready postgres; do
        [ -x "$bin/$binary" ] || return 1
    done
    [ "$(version)" -ge "$OLDEST" ]
}

# version: the server's major version.
version() { "$bin/postgres" --version | sed 's/[^0-9]*\([0-9]*\).*/\1/'; }

install_server() {
    if ! command -v apt-get >/dev/null || ! is_root; then
        die "PostgreSQL $OLDEST or newer is missing: apt-get install postgresql, dnf install postgresql-server, or brew install postgresql"
    fi
    say "installing PostgreSQL"
    apt update
    apt install postgresql-common
    # the package would start a server of its own
    sed -i 's/^#*create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    apt install postgresql
    find_server || die "this distribution's PostgreSQL is older than $OLDEST: take a newer one from https://apt.postgresql.org"
    say "installed PostgreSQL $(version)"
}

# apt COMMAND PACKAGE...: its output is shown only when it fails.
apt() {
    local output
    if ! output=$(DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" 2>&1 </dev/null); then
        printf '%s\n' "$output" >&2
        die "could not install PostgreSQL: apt-get $* failed"
    fi
}

# place: who runs the server and where.
place() {
    local hash
    hash=$(printf %s "$folder" | cksum | cut -d ' ' -f 1)
    server_user
    data=$folder
    as_server test -x "$(dirname "$folder")" || data=/var/tmp/claviger-postgres-$hash
    sockets=/tmp/claviger-postgres-$hash # a socket's path has about 100 characters at most
    cd / # the caller's folder may be closed to the server's user
}

server_user() {
    user=$(id -un)
    is_root || return 0
    for user in postgres nobody; do
        if id "$user" >/dev/null 2>&1; then return 0; fi
    done
    die "PostgreSQL does not run as root, and there is no user postgres or nobody: useradd --system postgres"
}

as_server() {
    if is_root; then
        setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups "$@"
    else
        "$@"
    fi
}

answers() { "$bin/pg_isready" --quiet --host "$sockets" --port "$PORT"; }

# serialised COMMAND: runs it while no other process starts or stops this server.
serialised() {
    command -v flock >/dev/null || die "flock is missing: apt-get install util-linux, or brew install flock"
    exec 9>"$folder.lock"
    flock 9
    "$@"
    exec 9>&-
}

start_server() {
    find_server || install_server
    place
    if answers; then return; fi
    [ -e "$data/PG_VERSION" ] || create
    ready_sockets
    [ "$(cat "$data/PG_VERSION")" = "$(version)" ] ||
        die "$data is of PostgreSQL $(cat "$data/PG_VERSION") and this is $(version): remove it"
    exec 8>"$folder.alive"
    if until_alone; then launch; fi
    exec 8>&-
}

# create: makes the data folder, whole or not at all.
create() {
    local new=$data.new
    if [ -e "$data" ]; then
        rmdir "$data" 2>/dev/null || die "$data holds something else, or is another user's: remove it or name another folder"
    fi
    rm -rf "$new"
    mkdir -m 700 "$new"
    if is_root; then chown "$user" "$new"; fi
    as_server "$bin/initdb" --pgdata "$new" --username "$SUPERUSER" --encoding UTF8 --locale C \
        --auth-local trust --auth-host reject --no-instructions >/dev/null
    as_server "$bin/postgres" --single -D "$new" -c log_checkpoints=off postgres >/dev/null <<<"CREATE DATABASE $DATABASE"
    mv "$new" "$data"
}

# ready_sockets: whoever reaches the socket is the superuser.
ready_sockets() {
    if mkdir -m 700 "$sockets" 2>/dev/null && is_root; then
        chown "$user" "$sockets"
    fi
    [ -n "$(find "$sockets" -prune -type d -user "$user" -perm 700)" ] || die "$sockets is not a folder of $user alone: remove it"
}

# until_alone: takes the lock that a server's processes hold as long as one of them lives: what a killed one left behind may then be
# removed, whoever has its process number by now. Fails when the server answers after all.
until_alone() {
    local end=$((SECONDS + PATIENCE))
    until flock -n 8; do
        if answers; then return 1; fi
        [ "$SECONDS" -lt "$end" ] || die "the server on $data runs and does not answer: see $data/server.log"
        sleep 0.1
    done
    as_server rm -f "$data/postmaster.pid" "$data/server.log"
    rm -f "$sockets"/.s.PGSQL.*
}

launch() {
    local options="-k $sockets -p $PORT -c listen_addresses='' -c max_connections=300 -c shared_buffers=128MB"
    if ! as_server "$bin/pg_ctl" start --silent --wait --timeout "$PATIENCE" \
        --pgdata "$data" --log "$data/server.log" --options "$options" >&2 9>&-; then
        tail -n 20 "$data/server.log" >&2 || true
        die "PostgreSQL does not start on $data"
    fi
    say "PostgreSQL $(version) runs on $data"
}

stop_server() {
    exec 8>"$folder.alive"
    if flock -n 8 || ! as_server "$bin/pg_ctl" status --pgdata "$data" >/dev/null; then
        say "nothing runs"
    elif as_server "$bin/pg_ctl" stop --silent --wait --timeout "$PATIENCE" --mode fast --pgdata "$data" >&2; then
        rmdir "$sockets"
        say "stopped; the data stays in $data"
    else
        die "the server on $data does not stop: see $data/server.log"
    fi
    exec 8>&-
}

folder=${2:-$root/.tools/postgres}
mkdir -p "$(dirname "$folder")"
folder=$(cd "$(dirname "$folder")" && pwd -P)/$(basename "$folder")
case "${1:-}" in
    start) start ;;
    url)
        start >&2
        printf 'postgres://%s@localhost:%s/%s?host=%s\n' "$SUPERUSER" "$PORT" "$DATABASE" "$sockets"
        ;;
    stop) stop ;;
    status) status ;;
    *) die "usage: scripts/postgres.sh start|url|stop|status [folder]" ;;
esac

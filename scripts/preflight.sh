#!/bin/sh
# Says what this machine lacks to build the project, or with `tests` to test it: one line for each missing thing and how to
# get it. Exits 1 if anything is missing.
set -eu

root=$(cd "$(dirname "$0")/.." && pwd)
missing=0

lack() {
    printf 'missing: %s\n' "$1" >&2
    missing=1
}

# The rust-version of Cargo.toml.
required_rust() {
    sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' "$root/Cargo.toml" | head -n 1
}

# at_least 1.95.0 1.94: whether the first version is not older than the second.
at_least() {
    major=${1%%.*}
    rest=${1#*.}
    minor=${rest%%.*}
    want_major=${2%%.*}
    want_rest=${2#*.}
    want_minor=${want_rest%%.*}
    [ "$major" -gt "$want_major" ] || { [ "$major" -eq "$want_major" ] && [ "$minor" -ge "$want_minor" ]; }
}

check_rust() {
    want=$(required_rust)
    if [ -z "$want" ]; then
        lack "rust-version in $root/Cargo.toml (is the checkout complete?)"
        return
    fi
    if ! command -v cargo >/dev/null 2>&1 || ! command -v rustc >/dev/null 2>&1; then
        lack "Rust $want or newer: install it from https://rustup.rs (rustup toolchain install stable)"
        return
    fi
    have=$(rustc --version 2>/dev/null | sed -n 's/^rustc \([0-9][0-9]*\.[0-9][0-9]*\).*/\1/p')
    if [ -z "$have" ]; then
        lack "a working rustc (rustc --version fails): rustup toolchain install stable"
    elif ! at_least "$have" "$want"; then
        lack "Rust $want or newer (this is $have): rustup update stable"
    fi
}

# The bundled SQLite and ring are partly C.
check_cc() {
    for compiler in ${CC:-} cc gcc clang; do
        if command -v "$compiler" >/dev/null 2>&1; then
            return
        fi
    done
    lack "a C compiler (cc): apt-get install build-essential, dnf install gcc, or xcode-select --install"
}

# Tests make backups with the databases' own tools. scripts/postgres.sh sees to the server.
check_databases() {
    command -v sqlite3 >/dev/null 2>&1 || lack "sqlite3: apt-get install sqlite3, dnf install sqlite, or brew install sqlite"
    for tool in pg_dump pg_restore; do
        command -v "$tool" >/dev/null 2>&1 ||
            lack "$tool: apt-get install postgresql-client, dnf install postgresql, or brew install postgresql"
    done
}

case "${1:-}" in
    '')
        check_rust
        check_cc
        ;;
    tests) check_databases ;;
    *) printf 'usage: scripts/preflight.sh [tests]\n' >&2; exit 2 ;;
esac
exit "$missing"

#!/usr/bin/env bash
# Builds both services and runs them in development mode until Ctrl-C: plaintext, loopback alone, embedded SQLite.
# CLAVIGER_DATA_DIR, CLAVIGER_KEYVAULT_LISTEN and CLAVIGER_ROUTING_LISTEN say where; RELEASE=1 builds optimised.
set -euo pipefail
set -m # each service in a process group of its own: Ctrl-C reaches this script alone, which stops them in order

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
data=${CLAVIGER_DATA_DIR:-$root/.data}
export CLAVIGER_DATA_DIR=$data
# only what a person calls has a fixed port, so that a second pair needs no more than two settings
export CLAVIGER_KEYVAULT_HEALTH_LISTEN=${CLAVIGER_KEYVAULT_HEALTH_LISTEN:-127.0.0.1:0}
export CLAVIGER_ROUTING_HEALTH_LISTEN=${CLAVIGER_ROUTING_HEALTH_LISTEN:-127.0.0.1:0}
export CLAVIGER_KEYVAULT_METRICS_LISTEN=${CLAVIGER_KEYVAULT_METRICS_LISTEN:-127.0.0.1:0}
export CLAVIGER_ROUTING_METRICS_LISTEN=${CLAVIGER_ROUTING_METRICS_LISTEN:-127.0.0.1:0}
# what they listen on is read from their logs, whatever else is logged
export CLAVIGER_LOG=${CLAVIGER_LOG:-info},claviger_runtime::server=info
umask 077
vault_pid=''
routing_pid=''

say() { printf '%s\n' "$*"; }

build() {
    local profile=debug flags=()
    if [ -n "${RELEASE:-}" ]; then profile=release flags=(--release); fi
    say "building (the first time takes some minutes)"
    (cd "$root" && cargo build --locked ${flags[@]+"${flags[@]}"} -p claviger-keyvault -p claviger-routing)
    bin=$(cd "$root" && cargo metadata --format-version 1 --no-deps | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')/$profile
}

# address LOG SERVER: where a service's server listens, as it logged; nothing yet if it does not.
address() {
    sed -n 's/.*"address":"\([^"]*\)","server":"'"$2"'".*/\1/p' "$1" | tail -n 1
}

# started NAME PID LOG: waits until the service is ready; says why if it is not.
started() {
    local name=$1 pid=$2 log=$3 at
    for _ in $(seq 1 300); do
        if ! kill -0 "$pid" 2>/dev/null; then
            say "$name did not start:" >&2
            tail -n 3 "$log" >&2
            return 1
        fi
        at=$(address "$log" grpc)
        if [ -n "$at" ] && "$bin/claviger-keyvault" health --address "$at" 2>/dev/null; then
            say "$name is ready"
            return 0
        fi
        sleep 0.1
    done
    say "$name is not ready after 30 s; see $log" >&2
    return 1
}

# shellcheck disable=SC2329 # the trap invokes it
stop() {
    trap - EXIT INT TERM
    for pid in $routing_pid $vault_pid; do
        kill -TERM "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    say "stopped; the data stays in $data"
}

lines() {
    local grpcurl=grpcurl vault=$1 routing=$2
    if ! command -v grpcurl >/dev/null && [ -x "$root/.tools/bin/grpcurl" ]; then
        printf -v grpcurl %q "$root/.tools/bin/grpcurl"
    fi
    cat <<TEXT

  keyvault  $vault      log $data/keyvault.log, metrics http://$(address "$data/keyvault.log" metrics)/metrics
  routing   $routing      log $data/routing.log, metrics http://$(address "$data/routing.log" metrics)/metrics
  data      $data (database keyvault.db, master key master.key)

Development mode: INSECURE, plaintext, on this machine alone. Paste these into another terminal, one by one$(
        [ "$grpcurl" != grpcurl ] || command -v grpcurl >/dev/null || printf '\n(grpcurl is missing: scripts/tools.sh go puts it into .tools/bin)'
    ):

# 1. store an Anthropic key: asks for it, shows nothing of it, tests it at Anthropic (VERIFICATION_SKIP stores a made-up one)
printf 'Anthropic key: ' >&2; read -rs KEY && printf '{"parent":"workspaces/acme","provider_key":{"provider":"anthropic","label":"first"},"secret":{"api_key":"%s"},"verification":"VERIFICATION_IF_POSSIBLE"}' "\$KEY" | $grpcurl -plaintext -d @ $vault claviger.keyvault.v1.KeyVault/CreateProviderKey; unset KEY

# 2. list the workspace's keys
$grpcurl -plaintext -d '{"parent":"workspaces/acme"}' $vault claviger.keyvault.v1.KeyVault/ListProviderKeys

# 3. which key does a call use?
$grpcurl -plaintext -d '{"workspace":"workspaces/acme","model":"claude-sonnet-5"}' $routing claviger.routing.v1.Routing/ResolveKey

# 4. and why?
$grpcurl -plaintext -d '{"workspace":"workspaces/acme","model":"claude-sonnet-5"}' $routing claviger.routing.v1.Routing/ExplainRoute

# 5. revoke the first key of the list
$grpcurl -plaintext -d '{"parent":"workspaces/acme"}' $vault claviger.keyvault.v1.KeyVault/ListProviderKeys | sed -n 's/.*"name": "\\(.*\\)".*/{"name":"\\1"}/p' | head -n 1 | $grpcurl -plaintext -d @ $vault claviger.keyvault.v1.KeyVault/RevokeProviderKey

Ctrl-C stops both.
TEXT
}

build
mkdir -p "$data"
trap stop EXIT
trap 'exit 0' INT TERM
"$bin/claviger-keyvault" serve --dev --data-dir "$data" 2>"$data/keyvault.log" &
vault_pid=$!
started keyvault "$vault_pid" "$data/keyvault.log"
vault=$(address "$data/keyvault.log" grpc)
CLAVIGER_KEYVAULT_URL=http://$vault "$bin/claviger-routing" serve --dev 2>"$data/routing.log" &
routing_pid=$!
started routing "$routing_pid" "$data/routing.log"
lines "$vault" "$(address "$data/routing.log" grpc)"
while kill -0 "$vault_pid" 2>/dev/null && kill -0 "$routing_pid" 2>/dev/null; do sleep 0.5; done
say "a service ended by itself; see $data/keyvault.log and $data/routing.log" >&2
exit 1

#!/usr/bin/env bash
# Put the programs the tests start by themselves in place: PostgreSQL's server and Prometheus.
# On Debian or Ubuntu, as root or where sudo asks for no password, they are installed without starting any service.
# Otherwise a missing one is named; its tests are skipped, or with CI=true this fails.
set -euo pipefail
source "$(dirname "$0")/apt.sh"

have_postgres() {
  command -v initdb >/dev/null || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null
}
have_prometheus() { command -v prometheus >/dev/null; }

missing=()
have_postgres || missing+=(postgresql)
have_prometheus || missing+=(prometheus)
if ((${#missing[@]} == 0)); then exit 0; fi

guard=/usr/sbin/policy-rc.d
guarded=no
cleanup() { if [[ "$guarded" == yes ]]; then "${as_root[@]}" rm -f "$guard"; fi; }
trap cleanup EXIT

# invoke-rc.d asks this program before it starts a service; 101 means "not allowed". A machine that has its own
# rule keeps it.
forbid_services() {
  if [[ ! -e "$guard" ]]; then
    guarded=yes
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$guard" >/dev/null
    "${as_root[@]}" chmod 755 "$guard"
  fi
}

install_missing() {
  local log
  log="$(mktemp)"
  forbid_services
  echo "servers: installing ${missing[*]} with apt-get (no service is started)"
  local options=(-y --no-install-recommends -o Dpkg::Use-Pty=0 -o Dpkg::Options::=--force-confold)
  if ! { apt_update && apt_get "${options[@]}" install "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
  fi
  rm -f "$log"
}

if can_apt; then install_missing; fi

failed=0
check() { # NAME PROGRAM
  if "have_$1"; then return 0; fi
  echo "servers: $2 is not installed, its tests will be skipped; on Debian or Ubuntu run: apt-get install $2" >&2
  failed=1
}
check postgres postgresql
check prometheus prometheus
if [[ "$failed" == 1 && "${CI:-}" == true ]]; then
  echo "servers: with CI=true every server the tests use must be there" >&2
  exit 1
fi

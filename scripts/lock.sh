#!/usr/bin/env bash
# Write requirements.lock (everything, all extras) and bootstrap.lock (uv alone), hashed and without any host name.
# UPGRADE=1 moves every pin to the newest version the bounds allow; otherwise existing pins stay.
set -euo pipefail
cd "$(dirname "$0")/.."
uv=.venv/bin/uv
if [[ ! -x "$uv" ]]; then
  echo "lock: uv is not installed yet; run: make install" >&2
  exit 2
fi
options=(--quiet --universal --generate-hashes --no-header --no-annotate)
if [[ -n "${UPGRADE:-}" ]]; then options+=(--upgrade); fi
"$uv" pip compile "${options[@]}" --all-extras pyproject.toml -o requirements.lock
pin="$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)"
echo "$pin" | "$uv" pip compile "${options[@]}" - -o bootstrap.lock
if grep -n '://' requirements.lock bootstrap.lock; then
  echo "lock: a lock file names a host; remove index URLs from the uv configuration and run: make lock" >&2
  exit 1
fi

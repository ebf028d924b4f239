#!/usr/bin/env bash
# Make .venv from the two lock files: every package is checked against its hash, nothing is resolved here.
# Usage: scripts/install.sh [PYTHON]; PYTHON is only used to create the environment (default: the first of python3,
# python3.13, python3.12, python3.11 that is new enough).
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/apt.sh

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

python=
for name in ${1:-python3 python3.13 python3.12 python3.11}; do
  if command -v "$name" >/dev/null && new_enough "$name"; then python="$name" && break; fi
done
if [[ -z "$python" ]]; then
  found="$("${1:-python3}" --version 2>&1 | head -n 1 || true)"
  if ! command -v "${1:-python3}" >/dev/null; then found=missing; fi
  echo "install: Dure needs Python 3.11 or newer and '${1:-python3}' is '$found'; install one and run: make install PYTHON=python3.11" >&2
  exit 2
fi

# Two installs at once would tear each other's environment apart.
mkdir -p build
if command -v flock >/dev/null; then exec 9>build/install.lock && flock 9; fi

# Debian's Python has no venv without its package: installed where that is allowed, else pip comes from outside.
make_environment() {
  rm -rf .venv
  "$python" -m venv .venv >build/venv.log 2>&1 && return
  local package
  package="python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
  if can_apt; then
    echo "install: installing $package with apt-get"
    { apt_update; apt_get install -y --no-install-recommends "$package"; } >>build/venv.log 2>&1 9>&- || true
    rm -rf .venv
    "$python" -m venv .venv >>build/venv.log 2>&1 && return
  fi
  rm -rf .venv
  "$python" -m pip --version >/dev/null 2>&1 && "$python" -m venv --without-pip .venv >>build/venv.log 2>&1 && return
  rm -rf .venv
  tail -n 5 build/venv.log >&2
  echo "install: '$python' cannot make a virtual environment; on Debian or Ubuntu run: apt-get install $package" >&2
  exit 2
}

venv_pip() {
  if .venv/bin/python -m ensurepip >/dev/null 2>&1; then
    .venv/bin/python -m pip "$@"
  else
    "$python" -m pip --python .venv/bin/python "$@"
  fi
}

export PIP_DISABLE_PIP_VERSION_CHECK=1
here="$(pwd -P)"
if [[ -s .venv/installed.stamp && "$(<.venv/installed.stamp)" != "$here" ]]; then rm -rf .venv; fi
if ! new_enough .venv/bin/python; then make_environment; fi
wanted="$(sed -n 's/^uv==\([^ ]*\).*/uv \1/p' bootstrap.lock)"
if [[ "$(.venv/bin/uv --version 2>/dev/null || true)" != "$wanted"* ]]; then
  venv_pip install --quiet --require-hashes -r bootstrap.lock
fi
.venv/bin/uv pip sync --quiet --require-hashes --python .venv/bin/python requirements.lock
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python --editable .
.venv/bin/uv pip check --quiet --python .venv/bin/python
echo "$here" >.venv/installed.stamp

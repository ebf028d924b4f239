#!/usr/bin/env bash
# Make .venv from the two lock files: every package is checked against its hash, nothing is resolved here.
# Usage: scripts/install.sh [PYTHON]; PYTHON is only used to create the environment (default: python3).
set -euo pipefail
cd "$(dirname "$0")/.."
python="${1:-python3}"

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  found="$("$python" --version 2>&1 | head -n 1 || true)"
  echo "install: Dure needs Python 3.11 or newer and '$python' is '${found:-missing}'; install one and run: make install PYTHON=python3.11" >&2
  exit 2
fi

# Two installs at once would tear each other's environment apart.
mkdir -p build
if command -v flock >/dev/null; then exec 9>build/install.lock && flock 9; fi

export PIP_DISABLE_PIP_VERSION_CHECK=1
here="$(pwd -P)"
if [[ -s .venv/installed.stamp && "$(<.venv/installed.stamp)" != "$here" ]]; then rm -rf .venv; fi
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  rm -rf .venv
  if ! "$python" -m venv .venv; then
    rm -rf .venv
    echo "install: '$python' cannot make a virtual environment; on Debian or Ubuntu run: apt-get install python3-venv" >&2
    exit 2
  fi
fi
wanted="$(sed -n 's/^uv==\([^ ]*\).*/uv \1/p' bootstrap.lock)"
if [[ "$(.venv/bin/uv --version 2>/dev/null || true)" != "$wanted"* ]]; then
  .venv/bin/python -m ensurepip >/dev/null
  .venv/bin/python -m pip install --quiet --require-hashes -r bootstrap.lock
fi
.venv/bin/uv pip sync --quiet --require-hashes --python .venv/bin/python requirements.lock
.venv/bin/uv pip install --quiet --no-deps --no-build-isolation --python .venv/bin/python --editable .
.venv/bin/uv pip check --quiet --python .venv/bin/python
echo "$here" >.venv/installed.stamp

"""The real supervisor with a stub in place of Ray's host: seconds less a test."""

from __future__ import annotations

import sys
from pathlib import Path

from operators.local import raycluster, supervisor

if __name__ == "__main__":
    raycluster.HOST = Path(__file__).with_name("stub_host.py")
    sys.exit(supervisor.main(sys.argv[1:]))

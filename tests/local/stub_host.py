"""In place of operators/local/ray_host.py where a test is about the supervisor and not about Ray.

The task's variable STUB_RAY says how it behaves: "" like Ray, "fail" ends at once, "hang" is never ready, "die" ends
half a second after it was ready.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def main() -> None:
    """Be ready at once, and end on SIGTERM."""
    plan = json.load(sys.stdin)
    how = os.environ.get("STUB_RAY", "")
    if how == "fail":
        print("no luck today", flush=True)
        sys.exit(1)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if how != "hang":
        file = Path(plan["address_file"])
        file.with_suffix(".new").write_text("127.0.0.1:1")
        file.with_suffix(".new").replace(file)
    time.sleep(0.5 if how == "die" else 600)
    print("a part of it died", flush=True)
    sys.exit(1)


if __name__ == "__main__":
    main()

"""What a process of an attempt finds in its environment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from operators.local.layout import MARKER, Folder, Spec

# What a job needs of the machine. The rest of the operator's environment stays with it: there may be secrets.
KEPT = (
    *("HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"),
    *("LD_LIBRARY_PATH", "CUDA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
)
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"


def of_rank(spec: Spec, folder: Folder, index: int, machine: Mapping[str, str], programs: Path) -> dict[str, str]:
    """Environment of the rank at ``index``: the machine's part, the task's own, then Dure's, which nobody overrides.

    programs: the folder of this interpreter and of Ray, first on PATH.
    """
    assignment, rank = spec.assignment, spec.assignment.ranks[index]
    env = {name: value for name, value in machine.items() if name in KEPT}
    env["PATH"] = f"{programs}:{machine.get('PATH') or DEFAULT_PATH}"
    env["PYTHONUNBUFFERED"] = "1"
    env |= dict(assignment.env)
    env |= {
        "DURE_NODE_RANK": str(rank.rank),
        "DURE_NUM_NODES": str(len(assignment.ranks)),
        "DURE_GPUS_PER_NODE": str(rank.gpus),
        "DURE_JOB": assignment.job,
        "DURE_ATTEMPT": str(assignment.attempt),
        "DURE_CHECKPOINT_DIR": spec.checkpoint_dir,
        "DURE_API_URL": spec.api_url,
        "DURE_ATTEMPT_TOKEN": assignment.token,
        "DURE_ARTIFACTS": str(folder.artifacts / str(rank.rank)),
        MARKER: str(folder.path),
    }
    if spec.devices:
        env["CUDA_VISIBLE_DEVICES"] = ",".join(spec.devices[index])
    return env

"""One body of each kind, with Hangul, with text that attacks a terminal, and with values at their edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scheduler.cli import sheets, sheets_policy
from scheduler.cli.tables import Row, Sheet
from scheduler.schema import bodies
from scheduler.schema.bodies import Listing

NOW_MS = 1_795_305_600_000  # 2026-11-22T00:00:00Z
HOSTILE = "\x1b]0;owned\x07\x1b[2Jdone\r\n=HYPERLINK(1)\u202eevil\x9b31m"


def job(number: int, **changes: Any) -> bodies.JobBody:
    """A job; the changes decide what it looks like."""
    values: dict[str, Any] = {
        "id": f"job{'abcdefgh'[number]}2345",
        "name": "llm-sft",
        "org": "hanul-ai",
        "project": "nlp",
        "user": "user-1",
        "class_name": "startup",
        "state": "Queued",
        "reason": "ShareBusy",
        "flavor": "h100-80g",
        "nodes": 2,
        "gpus_per_node": 4,
        "gpus": 8,
        "tiers": ["guaranteed", "borrow"],
        "attempt": 0,
        "time_seconds": 43_200,
        "submitted_at": "2026-11-21T23:48:00.000Z",
    }
    return bodies.JobBody(**{**values, **changes})


RUNNING = job(
    1,
    state="Active",
    reason="Running",
    tier="borrow",
    attempt=2,
    attempt_state="Running",
    started_at="2026-11-21T21:46:00.000Z",
    held_gpu_seconds=64_800,
)
FAILED = job(
    2,
    name="ablation",
    state="Failed",
    reason="",
    nodes=1,
    gpus_per_node=1,
    gpus=1,
    tier="guaranteed",
    attempt=1,
    attempt_state="Gone",
    started_at="2026-11-20T00:00:00.000Z",
    ended_at="2026-11-20T00:00:59.999Z",
    exit_code=137,
    message=HOSTILE,
)


ARRAY = job(
    3,
    id="arrd2345",
    name="ablate",
    state="Active",
    reason="",
    nodes=1,
    gpus_per_node=1,
    gpus=1,
    tier="borrow",
    started_at="2026-11-21T23:19:00.000Z",
    array=bodies.ArrayBody(id="arrd2345", indices="1-20%6", size=20, states={"Active": 6, "Held": 13, "Queued": 1}),
)
MEMBER_HELD = job(
    4,
    name="ablate",
    state="Active",
    reason="HeldAfterFailure",
    tier="borrow",
    attempt=1,
    attempt_state="Running",
    started_at="2026-11-21T23:19:00.000Z",
    exit_code=3,
    held_until="2026-11-22T03:30:00.000Z",
    array=bodies.ArrayBody(id="arrd2345", indices="1-20%6", size=20, index=3),
)


ARTIFACTS = [
    bodies.ArtifactBody(
        attempt=2, number=0, path="결과/표 1.csv", size=1_234_567, sha256="0123456789ab" + "c" * 52, state="complete"
    ),
    bodies.ArtifactBody(attempt=2, number=1, path="out/model.bin", size=0, sha256="d" * 64, state="arriving"),
    bodies.ArtifactBody(attempt=2, number=2, path=HOSTILE, size=0, state="left out", why="it is a symbolic link"),
]


def listing(items: Sequence[Any]) -> Any:
    """A page of them."""
    model: Any = Listing
    kind = type(items[0])
    return model[kind](kind=f"{kind.__name__.removesuffix('Body')}List", items=list(items))


def quota(path: str, used: int, guarantee: int, limit: int | None) -> bodies.QuotaLine:
    """A line of quota; milli-GPUs."""
    return bodies.QuotaLine(
        tree_node=path,
        level="organisation",
        name=path.rpartition("/")[2],
        flavor="h100-80g",
        weight_ppm=1_500_000,
        guarantee=guarantee,
        effective_guarantee=guarantee,
        borrowing_limit=limit,
        lending_limit=None,
        held_guaranteed=used,
        held_borrow=5_000,
        held_scavenge=0,
        pending=8_000,
        fair_share=13_333,
    )


USAGE = bodies.UsageLine(
    org="hanul-ai",
    project="nlp",
    user="user-1",
    flavor="h100-80g",
    tier="borrow",
    jobs=1_234,
    held_milli_gpu_ms=3_600_000_000,
    billed_milli_gpu_ms=1_800_000_000,
    posted_microwon=278_400_499_999,
    unposted_milli_gpu_ms=1,
)
GPUS = bodies.GpuLine(
    cluster="seoul",
    flavor="h100-80g",
    nodes=64,
    total=256,
    healthy=255,
    held=242,
    free=13,
    largest_gang="1x4",
    pending_jobs=41,
)
TOKEN = bodies.TokenBody(
    id="k3v9", user="user-1", note=HOSTILE, created_at="2026-11-01T00:00:00.000Z", expires_at="", revoked=True
)
WHOAMI = bodies.WhoamiBody(user="user-1", grants=[bodies.GrantBody(role="member", scope="project:hanul-ai/nlp")])
POLICY = bodies.PolicyBody(
    version=3,
    name="national-2026",
    sha256="0" * 64,
    rate_card="ratecard-2026-2",
    applied_at="2026-11-01T00:00:00.000Z",
    applied_by="admin",
    reason="C-204",
    text="kind: Policy\n",
)
ORGS = [
    bodies.OrgBody(
        name="hanul-ai",
        class_name="startup",
        title="한울 인공지능 주식회사",
        state="verified",
        registration_number="",
        tax_treatment="taxable",
    ),
    bodies.OrgBody(
        name="univ",
        class_name="university",
        title="",
        state="suspended",
        registration_number="",
        tax_treatment="exempt",
    ),
]
PROJECT = bodies.ProjectBody(org="hanul-ai", name="nlp", title="자연어 처리", state="active")
MEMBER = bodies.MemberBody(
    user="user-1",
    role="org-admin",
    scope="org:hanul-ai",
    state="active",
    granted_at="2026-11-01T00:00:00.000Z",
    granted_by="admin",
)
PERIOD = bodies.PeriodBody(
    id="2026-10",
    calendar="kst-month",
    start="2026-09-30T15:00:00.000Z",
    end="2026-10-31T15:00:00.000Z",
    state="closing",
    waiting_for="2 attempts of cluster seoul that are not proven gone",
)
INVOICE = bodies.InvoiceSummary(
    number="2026-10-hanul-ai",
    org="hanul-ai",
    period="2026-10",
    issued_at="2026-11-01T00:00:00.000Z",
    list_won=278_400,
    subsidy_won=264_480,
    supply_won=13_920,
    vat_won=1_392,
    payable_won=15_312,
    sha256="a" * 64,
)
TOTALS = {"product_won": 111_360, "funder_won": 0, "discount_won": 97_440, "tenant_won": 13_920}
WHY = bodies.WhyBody(
    job="joba2345",
    state="Queued",
    summary="joba2345 is waiting: 8 h100-80g (2 nodes x 4). It is 3rd of 41.",
    blockers=[
        bodies.BlockerBody(
            reason="ShareBusy",
            tier="guaranteed",
            tree_node="/startup/hanul-ai",
            flavor="h100-80g",
            need=8_000,
            have=4_000,
            limit=16_000,
            actor="you",
            sentence="hanul-ai may use 16 h100-80g guaranteed; 12 are in use.",
            remedies=["dure cancel jobb2345"],
        ),
        bodies.BlockerBody(
            reason="NoGangFit",
            flavor="h100-80g",
            need=2,
            have=1,
            limit=2,
            actor="time",
            sentence="14 h100-80g are free but only 1 node has 4 free together; 2 are needed.",
            remedies=["dure submit --nodes 1"],
        ),
    ],
    would_help=["dure submit --nodes 1"],
    ahead_in_project=2,
    pending_in_pool=41,
    cycle=88_231,
    decided_at="2026-11-21T23:59:50.000Z",
    policy_version=17,
)
CONTEXT = Row({"name": "seoul", "server": "https://h", "org": "", "project": "o/p", "user": "", "current": True})

VERSION = bodies.PolicyVersionBody(
    version=12,
    name="national-2026",
    sha256="0123456789abcdef" * 4,
    rate_card="ratecard-2026-2",
    applied_at="2026-11-01T00:00:00.000Z",
    applied_by="admin",
    reason=HOSTILE,
    in_force=True,
)
CHANGED = [
    bodies.PolicyChangeBody(
        path="classes.startup.guarantee.h100-80g", who="class startup", change="changed", old="60", new="72"
    ),
    bodies.PolicyChangeBody(
        path="overrides.org:hanul-ai.reason", who="organisation hanul-ai", change="added", old="", new=HOSTILE
    ),
    bodies.PolicyChangeBody(path="classes.sme.price.funder", who="class sme", change="removed", old="=한빛", new=""),
]
PRICED = [
    bodies.PolicyPriceBody(
        class_name="sme", tier="borrow", flavor="h100-80g", before_microwon=116_000_000, after_microwon=None
    )
]
SUMMED = [bodies.GuaranteeSumBody(flavor="h100-80g", before=236_000, after=240_500, registered=None)]

LISTS: dict[str, tuple[Sheet, Sequence[Any]]] = {
    "policy-versions": (
        sheets_policy.VERSIONS,
        [VERSION, VERSION.model_copy(update={"version": 9, "in_force": False})],
    ),
    "policy-changes": (sheets_policy.CHANGES, CHANGED),
    "policy-guarantees": (sheets_policy.GUARANTEES, SUMMED),
    "policy-prices": (sheets_policy.PRICES, PRICED),
    "jobs": (sheets.JOBS, [job(0), RUNNING, FAILED, ARRAY, MEMBER_HELD]),
    "events": (sheets.EVENTS, [bodies.EventBody(at="2026-11-22T00:00:00.000Z", event="Queued", detail=HOSTILE)]),
    "artifacts": (sheets.ARTIFACTS, ARTIFACTS),
    "quota": (
        sheets.QUOTA,
        [
            quota("/startup", 12_000, 16_000, None),
            quota("/startup/hanul-ai", 500, 16_000, 32_000),
            quota("/startup/x", 9_000, 0, 0),
            quota("/startup/y", 0, 0, None),
        ],
    ),
    "usage": (sheets.USAGE, [USAGE]),
    "gpus": (sheets.GPUS, [GPUS]),
    "tokens": (sheets.TOKENS, [TOKEN]),
    "orgs": (sheets.ORGS, ORGS),
    "projects": (sheets.PROJECTS, [PROJECT]),
    "members": (sheets.MEMBERS, [MEMBER]),
    "periods": (sheets.PERIODS, [PERIOD]),
    "invoices": (sheets.INVOICES, [INVOICE]),
}
SINGLES: dict[str, tuple[Sheet, Any]] = {
    "job": (sheets.JOB, FAILED),
    "running-job": (sheets.JOB, RUNNING),
    "array": (sheets.JOB, ARRAY),
    "held-member": (sheets.JOB, MEMBER_HELD),
    "whoami": (sheets.WHOAMI, WHOAMI),
    "policy": (sheets.POLICY, POLICY),
    "org": (sheets.ORG, ORGS[0]),
    "invoice": (sheets.INVOICE, INVOICE),
    "invoice-card": (sheets.INVOICE, Row({**INVOICE.model_dump(), **TOTALS})),
    "why": (sheets.WHY, WHY),
}

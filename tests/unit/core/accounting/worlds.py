"""Attempts, slices and prices for the tests: small builders, and random attempts with every oddity a clock can have."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from scheduler.core.accounting.rating import PolicyPrices, PriceBook
from scheduler.core.accounting.usage import slice_id
from scheduler.core.codec import canonical
from scheduler.core.effective import ClassPrice
from scheduler.core.lifecycle import AttemptState, StopReason
from scheduler.core.model import Rank, Tier
from scheduler.core.records import AttemptRecord, RankRecord, SliceRecord
from scheduler.core.units import MILLI_PER_GPU, MS_PER_HOUR

HOUR = MS_PER_HOUR
T0 = 1_793_000_000_000 // HOUR * HOUR
"""A full hour in October 2026, from which the tests count."""

H100, A100 = "h100-80g", "a100-80g"
UNIVERSITY = ClassPrice(0, "MSIT")
SME = ClassPrice(100_000, "MSIT")
STARTUP = ClassPrice(50_000, "MSIT", in_supply_value=True)
REGIONAL = ClassPrice(333_333)
CLASSES = {"university": UNIVERSITY, "sme": SME, "startup": STARTUP, "regional": REGIONAL}
TIERS = {Tier.GUARANTEED: 1_000_000, Tier.BORROW: 400_000, Tier.SCAVENGE: 100_000}
BOOK = PriceBook(
    {1: PolicyPrices(TIERS, CLASSES), 2: PolicyPrices({**TIERS, Tier.BORROW: 450_000}, CLASSES)},
    {"ratecard-2026-1": {H100: 2_800, A100: 1_300}, "ratecard-2026-2": {H100: 2_900, A100: 1_333}},
)


@dataclass(frozen=True)
class Story:
    """What really happened to an attempt, whoever knows of it: instants in ms, 0 for never; one entry a rank."""

    admitted: int
    gpus: tuple[int, ...]
    started: tuple[int, ...]
    ended: tuple[int, ...]
    lost: tuple[bool, ...]
    reason: StopReason
    notice: int
    gone: int
    job: str = "jobaaaa"
    number: int = 1
    org: str = "hanbit-ai"
    project: str = "nlp"
    flavor: str = H100
    tier: Tier = Tier.GUARANTEED
    cluster: str = "seoul"
    class_name: str = "sme"
    rate_card: str = "ratecard-2026-2"
    policy_version: int = 1

    def known_at(self, through: int) -> tuple[AttemptRecord, list[RankRecord]]:
        """The records once everything before ``through`` has been observed, and nothing later."""

        def seen(at: int) -> int:
            return at if at < through else 0

        gone, notice = seen(self.gone), seen(self.notice)
        places = [Rank(rank, f"node-{rank}", gpus) for rank, gpus in enumerate(self.gpus)]
        attempt = AttemptRecord(
            job=self.job,
            number=self.number,
            org=self.org,
            project=self.project,
            user="kim",
            state=AttemptState.GONE if gone else AttemptState.RUNNING,
            tier=self.tier,
            cluster=self.cluster,
            flavor=self.flavor,
            gpus=sum(self.gpus),
            ranks_json=canonical(places),
            admitted_at_ms=self.admitted,
            cycle=1,
            policy_version=self.policy_version,
            rate_card=self.rate_card,
            stop_reason=self.reason if notice or gone else None,
            notice_at_ms=notice,
            gone_at_ms=gone,
        )
        ranks = [
            RankRecord(
                job=self.job,
                attempt=self.number,
                rank=place.rank,
                node=place.node,
                gpus=place.gpus,
                started_at_ms=seen(self.started[place.rank]),
                ended_at_ms=seen(self.ended[place.rank]),
                evidence="" if not seen(self.ended[place.rank]) else "lost" if self.lost[place.rank] else "observed",
            )
            for place in places
        ]
        return attempt, ranks


def story(rng: random.Random, *, step: int, job: str = "jobaaaa", disorder_percent: int = 20) -> Story:
    """A random attempt of at most about 4,000 steps, near full hours; some have instants in an impossible order."""
    count = rng.randint(1, 4)
    admitted = T0 + rng.randrange(-2_000, 2_000) * step
    started = [admitted + rng.randrange(0, 1_200) * step for _ in range(count)]
    ended = [max(started) + rng.randrange(0, 2_000) * step for _ in range(count)]
    gone = max(ended) + rng.randrange(0, 400) * step
    reason = rng.choice(list(StopReason))
    notice = rng.randrange(admitted, gone + step, step) if reason is not StopReason.FINISH else 0
    if rng.random() < 0.1:
        started[rng.randrange(count)] = 0
    if rng.random() < 0.1:
        ended[rng.randrange(count)] = 0
    if rng.random() * 100 < disorder_percent:
        which = rng.randrange(count)
        moved = admitted + rng.randrange(-500, 4_000) * step
        match rng.choice(("start", "end", "gone", "notice")):
            case "start":
                started[which] = moved
            case "end":
                ended[which] = moved
            case "gone":
                gone = moved
            case _:
                notice = moved
    return Story(
        admitted=admitted,
        gpus=tuple(rng.randint(1, 8) for _ in range(count)),
        started=tuple(started),
        ended=tuple(ended),
        lost=tuple(rng.random() < 0.2 for _ in range(count)),
        reason=reason,
        notice=notice,
        gone=gone,
        job=job,
        org=rng.choice(("hanbit-ai", "saebyeok-lab")),
        project=rng.choice(("nlp", "vision")),
        flavor=rng.choice((H100, A100)),
        tier=rng.choice(list(Tier)),
        cluster=rng.choice(("seoul", "busan")),
        class_name=rng.choice(sorted(CLASSES)),
        rate_card=rng.choice(sorted(BOOK.rate_cards)),
        policy_version=rng.choice(sorted(BOOK.policies)),
    )


def usage_slice(
    job: str,
    billed_ms: int,
    *,
    gpus: int = 1,
    rank: int = 0,
    start_ms: int = T0,
    end_ms: int = T0 + HOUR,
    tier: Tier = Tier.GUARANTEED,
    class_name: str = "sme",
    project: str = "nlp",
    flavor: str = H100,
    rate_card: str = "ratecard-2026-2",
    policy_version: int = 1,
    org: str = "hanbit-ai",
    cluster: str = "seoul",
    period: str = "2026-10",
    ledger_seq: int = 1,
) -> SliceRecord:
    """A posted slice with ``billed_ms`` of it charged on each of its GPUs."""
    return SliceRecord(
        id=slice_id(job, 1, rank, start_ms),
        job=job,
        attempt=1,
        rank=rank,
        cluster=cluster,
        class_name=class_name,
        org=org,
        project=project,
        user="kim",
        flavor=flavor,
        tier=tier,
        start_ms=start_ms,
        end_ms=end_ms,
        gpus=gpus,
        held_milli_gpu_ms=gpus * MILLI_PER_GPU * (end_ms - start_ms),
        billed_milli_gpu_ms=gpus * MILLI_PER_GPU * billed_ms,
        rate_card=rate_card,
        policy_version=policy_version,
        evidence="observed",
        period=period,
        ledger_seq=ledger_seq,
    )


def watermarks(rng: random.Random, first: int, last: int, count: int) -> Sequence[int]:
    """Rising instants from before ``first`` to after ``last``, some on full hours."""
    drawn = [rng.randrange(first - HOUR, last + HOUR) for _ in range(count)]
    return [*sorted(at // HOUR * HOUR if rng.random() < 0.3 else at for at in drawn), last + 2 * HOUR]

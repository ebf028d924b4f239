"""Worlds in text: a small language for estates, trees and jobs, and the same for the plan that is wanted.

One thing a line; ``#`` starts a comment. GPUs are written as GPUs (``2.5``), shapes as NODESxGPUS.

    flavor a100 0.45                                  exchange rate; a flavor that is not listed has 1
    node east/n1 h100 8 [cordoned]                    without a cluster it is in ``c``
    tree /sme w2 h100 g=4 bl=2 ll=1 a100 g=2          weight, then by flavor guarantee, borrowing and lending limit
    used /sme/a/p/u 3.5                               decayed average of GPUs held, in GPUs of exchange rate 1
    run j1 /sme/a/p/u h100 2x4 borrow on n1,n2        a live attempt, one worker per named node; its work of an hour is
                                                      saved up to saved=-10m; leaving=evict or the like: it is to stop
    keep j2 on n1,n2                                  room is being made for a job that stands before it
    pend j2 /sme/a/p/u h100 1x2 guaranteed,borrow [until=+60s] [attempt=2]

Jobs are submitted in the order of the lines. ``plan_text`` writes a plan so that it can be read in a diff.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from scheduler.core.allocator.lines import lines_of
from scheduler.core.allocator.plan import Admit, Plan, Release, Step
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.lifecycle import AttemptState, StopReason
from scheduler.core.model import Earmark, Flavor, GangRequest, LiveAttempt, Node, PendingJob, Rank, Tier
from scheduler.core.reasons import Blocker, Reason
from scheduler.core.tree import Tree, TreeNode
from scheduler.core.units import MILLI_PER_GPU, PPM_ONE, parse_duration_ms, parse_ppm

NOW_MS = 1_800_000_000_000
LIMIT_MS = 3_600_000
LEAVE_MS = 720_000
CHAIN = "0" * 64


@dataclass
class World:
    """The parts of a snapshot while its lines are read."""

    flavors: dict[str, Flavor] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    tree: list[TreeNode] = field(default_factory=list)
    live: list[LiveAttempt] = field(default_factory=list)
    pending: list[PendingJob] = field(default_factory=list)
    usage: dict[str, int] = field(default_factory=dict)
    earmarks: list[Earmark] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        """The world as a snapshot at NOW_MS."""
        made = snapshot_of(self.flavors, self.tree, self.nodes, self.live, self.pending, self.usage)
        kept = {earmark.job.job for earmark in self.earmarks}
        lines = lines_of(job for job in self.pending if job.job not in kept and job.not_before_ms <= NOW_MS)
        return replace(made, lines=lines, earmarks=tuple(self.earmarks))


def snapshot_of(
    flavors: dict[str, Flavor],
    tree: list[TreeNode],
    nodes: list[Node],
    live: list[LiveAttempt],
    pending: list[PendingJob],
    usage: dict[str, int],
) -> Snapshot:
    """A snapshot at NOW_MS of policy version 1, of parts that come from no facts."""
    ready = [job for job in pending if job.not_before_ms <= NOW_MS]
    return Snapshot(
        at_ms=NOW_MS,
        fact_seq=len(live) + len(pending),
        chain=CHAIN,
        policy_version=1,
        registry_seq=1,
        flavors=flavors,
        tree=Tree(tree),
        nodes=tuple(nodes),
        live=tuple(sorted(live, key=lambda attempt: attempt.job)),
        lines=lines_of(ready),
        delayed=tuple(job for job in pending if job.not_before_ms > NOW_MS),
        usage=usage,
        leave_ms=dict.fromkeys(Tier, LEAVE_MS),
        loss_max_ms=LIMIT_MS,
    )


def world(text: str) -> Snapshot:
    """The snapshot of a world in text; raises ValueError for a line that is none."""
    made = World()
    readers = {
        "flavor": _flavor,
        "node": _node,
        "tree": _tree,
        "used": _used,
        "run": _run,
        "pend": _pend,
        "keep": _keep,
    }
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if words:
            try:
                readers[words[0]](made, words[1:])
            except (KeyError, IndexError) as error:
                raise ValueError(f"not a line of a world: {line!r}") from error
    return made.snapshot()


def milli(text: str) -> int:
    """GPUs as text in milli-GPUs: ``2.5`` -> 2500."""
    return parse_ppm(text) * MILLI_PER_GPU // PPM_ONE


def plan_text(snapshot: Snapshot, plan: Plan) -> str:
    """Steps in their order, then every waiting job by submission with its reasons; a line each."""
    lines = [_step(step) for step in plan.steps]
    started = {step.job for step in plan.starts}
    for job in snapshot.pending:
        if job.job not in started:
            reasons = "; ".join(_reason(blocker) for blocker in plan.reasons(job))
            lines.append(f"{job.job} waits: {reasons}")
    return "\n".join(lines)


def _step(step: Step) -> str:
    if isinstance(step, Release):
        return f"{step.job} is kept nothing"
    places = f"{step.cluster}: " + " ".join(f"{rank.node}:{rank.gpus}" for rank in step.ranks)
    if isinstance(step, Admit):
        return f"{step.job} {step.tier} {places}"
    victims = ", ".join(job for job, _ in step.victims) or "nobody"
    return f"{step.job} from {victims} {places}"


def _reason(blocker: Blocker) -> str:
    if blocker.reason is Reason.BACKOFF_AFTER_FAILURE:
        return f"{blocker.reason} {(blocker.limit - NOW_MS) // 1000}s"
    numbers = [blocker.need, blocker.have, blocker.limit]
    if blocker.reason is Reason.NO_GANG_FIT:
        numbers = [number * MILLI_PER_GPU for number in numbers]
    need, have, limit = (f"{number / MILLI_PER_GPU:g}" for number in numbers)
    tier = f"[{blocker.tier}]" if blocker.tier else ""
    at = f" {blocker.tree_node}" if blocker.tree_node else ""
    return f"{blocker.reason}{tier}{at} {need} of {have}/{limit}"


def _flavor(made: World, words: list[str]) -> None:
    made.flavors[words[0]] = Flavor(words[0], parse_ppm(words[1]))


def _known(made: World, flavor: str) -> str:
    made.flavors.setdefault(flavor, Flavor(flavor, PPM_ONE))
    return flavor


def _spot(name: str) -> tuple[str, str]:
    cluster, _, node = name.rpartition("/")
    return cluster or "c", node


def _node(made: World, words: list[str]) -> None:
    name, flavor, gpus, *rest = words
    cluster, node = _spot(name)
    made.nodes.append(Node(cluster, node, _known(made, flavor), int(gpus), schedulable="cordoned" not in rest))


def _tree(made: World, words: list[str]) -> None:
    node, flavor = TreeNode(words[0]), ""
    amounts: dict[str, dict[str, int]] = {"g": {}, "bl": {}, "ll": {}}
    for word in words[1:]:
        key, equals, value = word.partition("=")
        if equals:
            amounts[key][flavor] = milli(value)
        elif word[0] == "w" and word[1:].replace(".", "").isdigit():
            node = replace(node, weight_ppm=parse_ppm(word[1:]))
        else:
            flavor = _known(made, word)
    made.tree.append(replace(node, guarantee=amounts["g"], borrowing_limit=amounts["bl"], lending_limit=amounts["ll"]))


def _used(made: World, words: list[str]) -> None:
    made.usage[words[0]] = parse_ppm(words[1])


def _request(made: World, flavor: str, shape: str, tiers: str) -> GangRequest:
    nodes, gpus = (int(number) for number in shape.split("x"))
    return GangRequest(_known(made, flavor), nodes, gpus, tuple(Tier(tier) for tier in tiers.split(",")), LIMIT_MS)


def _run(made: World, words: list[str]) -> None:
    job, leaf, flavor, shape, tier, _, names, *rest = words
    request = _request(made, flavor, shape, tier)
    spots = [_spot(name) for name in names.split(",")]
    ranks = tuple(Rank(number, node, request.gpus_per_node) for number, (_, node) in enumerate(spots))
    if len(ranks) != request.nodes:
        raise ValueError(f"{job} needs {request.nodes} workers, {len(ranks)} are placed")
    since_ms = NOW_MS - LIMIT_MS
    live = LiveAttempt(job, 1, leaf, request, request.tiers[0], spots[0][0], ranks, since_ms, AttemptState.RUNNING)
    live = replace(live, running_at_ms=since_ms)
    for word in rest:
        key, _, value = word.partition("=")
        if key == "saved":
            live = replace(live, checkpoint_at_ms=NOW_MS - parse_duration_ms(value.removeprefix("-")))
        elif key == "leaving":
            reason, _, ago = value.partition("-")
            at_ms = NOW_MS - (parse_duration_ms(ago) if ago else 0)
            live = replace(live, state=AttemptState.STOPPING, stop_reason=StopReason(reason), stopping_at_ms=at_ms)
        else:
            raise ValueError(f"{job}: {word!r} is no option")
    made.live.append(live)


def _keep(made: World, words: list[str]) -> None:
    job, _, names = words
    found = next(item for item in made.pending if item.job == job)
    spots = [_spot(name) for name in names.split(",")]
    ranks = tuple(Rank(number, node, found.request.gpus_per_node) for number, (_, node) in enumerate(spots))
    made.earmarks.append(Earmark(found, spots[0][0], ranks, len(made.earmarks) + 1))


def _pend(made: World, words: list[str]) -> None:
    job, leaf, flavor, shape, tiers, *rest = words
    seq = len(made.pending) + 1
    pending = PendingJob(job, leaf, _request(made, flavor, shape, tiers), seq, NOW_MS - LIMIT_MS, attempt=1)
    for word in rest:
        key, _, value = word.partition("=")
        if key == "until":
            pending = replace(pending, not_before_ms=NOW_MS + parse_duration_ms(value.removeprefix("+")))
        elif key == "attempt":
            pending = replace(pending, attempt=int(value))
        else:
            raise ValueError(f"{job}: {word!r} is no option")
    made.pending.append(pending)

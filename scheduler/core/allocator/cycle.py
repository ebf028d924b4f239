"""One cycle of the allocator: a snapshot in, a plan out (decisions 0001 and 0009 have the rules with worked numbers).

Nothing frees GPUs inside a cycle, so every test only gets stricter while it runs: what failed once
is not tried again, and a pass over all lines ends at a fixpoint (S5, S15).
"""

from __future__ import annotations

from collections.abc import Iterator

from scheduler.core.allocator.blockers import Reasons, Turn
from scheduler.core.allocator.earmarks import Earmarks, Standing, awaited
from scheduler.core.allocator.layout import listed
from scheduler.core.allocator.lines import shape_of, with_jobs
from scheduler.core.allocator.lineup import Lineup
from scheduler.core.allocator.order import Shares, Tournament
from scheduler.core.allocator.placement import Cluster
from scheduler.core.allocator.plan import Admit, BlockerKey, Plan, Reclaim, Release, Room, Step
from scheduler.core.allocator.reclaim import Lenders, Returned
from scheduler.core.allocator.snapshot import Snapshot
from scheduler.core.allocator.stock import Gang, Ladder, Size, Stock, stocks, unknown_stock
from scheduler.core.allocator.tiers import GUARANTEED, PHASES
from scheduler.core.model import Earmark, PendingJob, Tier
from scheduler.core.reasons import Actor, Blocker, Reason


def decide(snapshot: Snapshot) -> Plan:
    """The plan for a snapshot: pure, the same bytes for the same input in any order of its parts (S12)."""
    # 1. The picture: tree, machines and books as flat lists, and the lines that wait, by leaf.
    cycle = _Cycle(snapshot)
    # 2. Gangs that room was made for start where there is some now; what is kept for the others is nobody else's.
    cycle.start_awaited()
    # 3. Phases: guaranteed starts while one fits, then borrow, then scavenge with what no other gang can use.
    for tier, late in cycle.phases():
        # 4. In a phase the leaf with the smallest share on each level of the tree is next, then the oldest job in it.
        # 5. A gang that the rules permit and one cluster can hold starts. For one inside its guarantee that only
        #    lent GPUs stop room is made: they are asked back. One that can have neither is out for this tier.
        cycle.run(tier, late=late)
    # 6. Everything that is left gets all its reasons with numbers.
    return Plan(tuple(cycle.steps), cycle.reasons(), cycle.backoff(), cycle.awaited())


class _Cycle:
    """What a cycle changes while it decides; nothing of it outlives the call."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._layout = listed(snapshot.tree).extended(snapshot.leaves)
        self._stocks = stocks(snapshot, self._layout)
        self._earmarks = Earmarks(snapshot, self._gang_of)
        self.steps: list[Step] = [Release(job.job, job.attempt) for job in self._earmarks.fallen]
        self._lenders = Lenders(snapshot, self._layout)
        self._shares = Shares(self._layout, snapshot.usage, self._held())
        lines = with_jobs(snapshot.lines, self._earmarks.fallen)
        self._lineup = Lineup(lines, self._layout, self._stocks)
        self._ladders: dict[Stock, Ladder] = {}
        """Flavors that this phase may still take from, with the gangs that it looks for."""
        self._refused = 0
        """Mask of the gangs that no cluster had room for in this phase."""
        self._claims = 0
        """Mask of the gangs that lent GPUs are taken back for in this phase."""

    def start_awaited(self) -> None:
        """Start the gangs that room was made for, as far as they have some now."""
        for standing, cluster, own in self._earmarks.startable():
            job, gang = standing.earmark.job, standing.gang
            machines = gang.stock.machines
            ranks = machines.place_at(cluster, own) if own else machines.place(cluster, gang.workers, gang.gpus)
            gang.stock.book.charge(standing.leaf, gang.need, guaranteed=True)
            self.steps.append(Admit(job.job, job.attempt, GUARANTEED, cluster.name, ranks))

    def phases(self) -> Iterator[tuple[Tier, bool]]:
        """The tiers in the order of PHASES; late: again, for lines that list it after one that closed meanwhile.

        A line never comes back to a tier, so the number of late phases is bounded by the length of its list.
        """
        self._lineup.move_on()
        for count, tier in enumerate(PHASES, start=1):
            yield tier, False
            while moved := self._lineup.move_on() & set(PHASES[:count]):
                yield min(moved, key=PHASES.index), True

    def run(self, tier: Tier, *, late: bool) -> None:
        """Start what can start in this tier, in fair order."""
        self._look_for(self._lineup.accepting(tier, late=late), tier)
        if not self._ladders:
            return
        lineup = self._lineup
        permitted = {place: self._permitted(place, tier) & below for place, below in lineup.below.items()}
        tournament = Tournament(self._shares, lineup.oldest, lineup.leaves(permitted))
        while self._ladders and (leaf := tournament.leader()):
            place = lineup.places[leaf]
            if lineup.mask(leaf) & permitted[place] & ~self._refused:  # may have shrunk since it was looked at
                permitted[place] = self._permitted(place, tier) & lineup.below[place]
            if self._serve(leaf, permitted[place] & ~self._refused, tier):
                tournament.charged(leaf)
            else:
                closed = place in lineup.whole and not permitted[place] & ~self._refused
                tournament.remove(place if closed else leaf)

    def reasons(self) -> dict[BlockerKey, tuple[Blocker, ...]]:
        """Why gangs wait, by place and size, in every tier; of those in back-off what would stop them besides."""
        known = bool(self._snapshot.nodes)
        lineup, paths = self._lineup, self._layout.paths
        waiting = lineup.waiting()
        for job in self._snapshot.delayed:
            waiting.add((lineup.places[self._layout.numbers[job.leaf]], lineup.gang(shape_of(job)).size))
        turns = {stock: self._turn(stock) for stock in self._stocks.values()}
        kept_for = self._earmarks.most_by_flavor()
        of = {
            stock: Reasons(paths, stock, turn, kept_for.get(stock.flavor, ""), nodes_known=known)
            for stock, turn in turns.items()
        }
        wanted = {(of[size.stock].place_of(place), size) for place, size in waiting}
        return {
            BlockerKey(paths[place], size.stock.flavor, size.workers, size.gpus): of[size.stock].find(place, size)
            for place, size in wanted
        }

    def awaited(self) -> dict[str, Room]:
        """For each gang that room is being made for, how much of it is there and until when the rest should be."""
        return awaited(self._snapshot, self._earmarks.standing, self.steps, self._stocks)

    def backoff(self) -> dict[str, Blocker]:
        """Jobs that wait out a back-off, with the instant of its end as the limit."""
        reason = Reason.BACKOFF_AFTER_FAILURE
        return {
            job.job: Blocker(reason, "", job.request.flavor, 0, 0, job.not_before_ms, Actor.TIME)
            for job in self._snapshot.delayed
        }

    def _held(self) -> dict[int, int]:
        """Micro-GPUs of exchange rate 1 that each leaf holds now."""
        held: dict[int, int] = {}
        for attempt in self._snapshot.live:
            leaf = self._layout.numbers[attempt.leaf]
            rate = self._stocks[attempt.request.flavor].exchange_ppm
            held[leaf] = held.get(leaf, 0) + attempt.request.gpus * rate
        for standing in self._earmarks.standing:  # what is kept for them counts as theirs
            held[standing.leaf] = held.get(standing.leaf, 0) + standing.gang.micro_gpus
        return held

    def _gang_of(self, job: PendingJob) -> tuple[Gang, int]:
        """The gang of a job that stands in no line, and its leaf."""
        request = job.request
        stock = self._stocks.get(request.flavor) or unknown_stock(self._layout, request.flavor)
        size = Size(stock, request.nodes, request.gpus_per_node, request.milli_gpus)
        return Gang(size, request.tiers, bit=0), self._layout.numbers[job.leaf]

    def _turn(self, stock: Stock) -> Turn | None:
        """Whose turn it is when GPUs of a flavor are freed: the first, by phase and share, that only machines stop."""
        lineup, odd = self._lineup, self._lineup.odd_turns(stock)
        for phase, tier in enumerate(PHASES):
            in_order = [gang for gang in lineup.accepting(tier, late=False) if gang.in_order and gang.stock is stock]
            gangs = [gang for gang in in_order if gang.could_fit()]
            permitted: dict[int, int] = {}
            if gangs:
                ladder = Ladder(gangs)
                permitted = {place: ladder.up_to(stock.due(place, tier)) & mask for place, mask in lineup.below.items()}
            own = odd.get(tier, {})
            leaves = own.keys() | lineup.leaves(permitted) if permitted else own.keys()
            if leaves:
                leaf = Tournament(self._shares, lineup.oldest, leaves).leader()
                place = lineup.places[leaf]
                number = lineup.first(leaf, None, permitted.get(place, 0) | own.get(leaf, 0))
                if number is not None:
                    return Turn(phase, place, lineup.gang_at(leaf, number).need)
        return None

    def _look_for(self, gangs: list[Gang], tier: Tier) -> None:
        """Open a phase for these gangs, as far as some cluster has room for them, or might be made to have it."""
        by_stock: dict[Stock, list[Gang]] = {}
        for gang in gangs:
            if gang.where() or (tier is GUARANTEED and gang.claims and gang.could_be_returned()):
                by_stock.setdefault(gang.stock, []).append(gang)
        self._ladders = {stock: Ladder(found) for stock, found in by_stock.items()}
        self._claims = sum(gang.bit for gang in gangs if gang.claims) if tier is GUARANTEED else 0
        self._refused = 0

    def _permitted(self, place: int, tier: Tier) -> int:
        """Mask of the gangs of this phase that the rules permit at a place now, or once what is lent is given back."""
        mask = 0
        for stock, ladder in self._ladders.items():
            mask |= ladder.up_to(stock.left(place, tier))
            if self._claims:
                mask |= ladder.up_to(stock.could_have(place)) & self._claims
        return mask

    def _serve(self, leaf: int, mask: int, tier: Tier) -> bool:
        """Start the oldest job of a leaf, among the gangs of ``mask``, that a cluster has room for, or make room."""
        mask &= self._lineup.mask(leaf)
        while mask and (number := self._lineup.first(leaf, tier, mask)) is not None:
            gang = self._lineup.gang_at(leaf, number)
            cluster = gang.where()
            is_claim = tier is GUARANTEED and gang.claims
            if cluster and (not is_claim or gang.need <= gang.stock.left(leaf, tier)):
                self._start(leaf, number, cluster, tier)
                return True
            room = self._lenders.room_for(gang, leaf) if is_claim else None
            if room:
                self._reclaim(leaf, number, room)
                return True
            self._refused |= gang.bit
            mask &= ~gang.bit
        return False

    def _start(self, leaf: int, number: int, cluster: Cluster, tier: Tier) -> None:
        """Book the first job of a line everywhere."""
        gang = self._lineup.gang_at(leaf, number)
        job = self._lineup.start(leaf, number)
        ranks = gang.stock.machines.place(cluster, gang.workers, gang.gpus)
        gang.stock.book.charge(leaf, gang.need, guaranteed=tier is GUARANTEED)
        self._shares.charge(leaf, gang.micro_gpus)
        self.steps.append(Admit(job.job, job.attempt, tier, cluster.name, ranks))
        self._close_if_full(gang.stock)

    def _reclaim(self, leaf: int, number: int, room: Returned) -> None:
        """Ask who lent GPUs back to leave, and keep the places for the first job of a line, as if it held them."""
        gang = self._lineup.gang_at(leaf, number)
        job = self._lineup.start(leaf, number)
        self._lenders.ask_to_leave(gang, leaf, room)
        self._shares.charge(leaf, gang.micro_gpus)
        victims = tuple((item.attempt.job, item.attempt.attempt) for item in room.victims)
        self.steps.append(Reclaim(job.job, job.attempt, room.cluster.name, room.ranks, victims))
        self._earmarks.standing.append(
            Standing(Earmark(job, room.cluster.name, room.ranks, self._snapshot.fact_seq + 1), gang, leaf)
        )
        self._close_if_full(gang.stock)

    def _close_if_full(self, stock: Stock) -> None:
        """A flavor without room for the smallest worker of the phase, and none to be had, is done."""
        smallest, machines = self._ladders[stock].smallest, stock.machines
        if not machines.find(1, smallest) and not (self._claims and machines.could_be_returned(1, smallest)):
            del self._ladders[stock]

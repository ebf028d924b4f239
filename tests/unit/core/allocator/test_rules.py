"""The rules of decision 0001, one world a row; the sum that decides is beside it."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from scheduler.core.allocator.cycle import decide
from tests.support.worlds import plan_text, world


class Row(NamedTuple):
    """A world, and the plan it must give; a line that ends in ``;`` goes on."""

    text: str
    wanted: str


ROOMY = "node n1 h100 16\n"

GUARANTEE = {
    "inside at its own organisation: 2 + 2 <= 4": Row(
        """tree /sme h100 g=4
        tree /sme/a h100 g=4
        run r1 /sme/a/p/u h100 1x2 guaranteed on n1
        pend j1 /sme/a/p/u h100 1x2 guaranteed""",
        "j1 guaranteed c: n1:2",
    ),
    "not inside: 3 + 2 > 4": Row(
        """tree /sme h100 g=4
        tree /sme/a h100 g=4
        run r1 /sme/a/p/u h100 1x3 guaranteed on n1
        pend j1 /sme/a/p/u h100 1x2 guaranteed""",
        "j1 waits: ShareBusy[guaranteed] /sme/a 2 of 3/4",
    ),
    "borrowed GPUs do not count against it: 0 + 4 <= 4": Row(
        """tree /sme h100 g=4
        run r1 /sme/a/p/u h100 1x8 borrow on n1
        pend j1 /sme/a/p/u h100 1x4 guaranteed""",
        "j1 guaranteed c: n1:4",
    ),
    "what the class does not hand down is shared: max(2, 2 + 2) + max(2, 0) <= 6": Row(
        """tree /sme h100 g=6
        tree /sme/a h100 g=2
        tree /sme/b h100 g=2
        run r1 /sme/a/p/u h100 1x2 guaranteed on n1
        pend j1 /sme/a/p/u h100 1x2 guaranteed""",
        "j1 guaranteed c: n1:2",
    ),
    "what is handed down to a neighbour is not: max(2, 2 + 3) + max(2, 0) > 6": Row(
        """tree /sme h100 g=6
        tree /sme/a h100 g=2
        tree /sme/b h100 g=2
        run r1 /sme/a/p/u h100 1x2 guaranteed on n1
        pend j1 /sme/a/p/u h100 1x3 guaranteed""",
        "j1 waits: ShareBusy[guaranteed] /sme 3 of 4/6",
    ),
    "what is promised two levels below a neighbour's parent counts: at /sme max(4, 4 + 2) > 4": Row(
        """tree /sme h100 g=4
        tree /sme/a h100 g=4
        tree /sme/a/p1 h100 g=4
        pend j1 /sme/a/p2/u h100 1x2 guaranteed
        pend j2 /sme/a/p1/u h100 1x4 guaranteed""",
        """j2 guaranteed c: n1:4
        j1 waits: ShareBusy[guaranteed] /sme/a 2 of 4/4""",
    ),
    "a user's own guarantee is not the neighbour's: max(2, 0) + 1 > 2": Row(
        """tree /sme h100 g=2
        tree /sme/a h100 g=2
        tree /sme/a/p h100 g=2
        tree /sme/a/p/kim h100 g=2
        pend j1 /sme/a/p/lee h100 1x1 guaranteed
        pend j2 /sme/a/p/kim h100 1x2 guaranteed""",
        """j2 guaranteed c: n1:2
        j1 waits: ShareBusy[guaranteed] /sme/a/p 1 of 2/2""",
    ),
    "part from the organisation, part from the class: 2 left + 2 left = 4": Row(
        """tree /sme h100 g=4
        tree /sme/a h100 g=2
        pend j1 /sme/a/p/u h100 1x4 guaranteed
        pend j2 /sme/a/p/u h100 1x1 guaranteed""",
        """j1 guaranteed c: n1:4
        j2 waits: ShareBusy[guaranteed] /sme 1 of 4/4""",
    ),
    "no guarantee anywhere: nobody but an administrator can help": Row(
        """tree /sme w2
        pend j1 /sme/a/p/u h100 1x1 guaranteed""",
        "j1 waits: ShareBusy[guaranteed] /sme 1 of 0/0",
    ),
    "of another flavor nothing is guaranteed": Row(
        """node n2 a100 4
        tree /sme h100 g=4
        pend j1 /sme/a/p/u a100 1x1 guaranteed""",
        "j1 waits: ShareBusy[guaranteed] /sme 1 of 0/0",
    ),
    "half GPUs do not start whole ones: 2 + 1 > 2.5": Row(
        """tree /sme h100 g=2.5
        run r1 /sme/a/p/u h100 1x2 guaranteed on n1
        pend j1 /sme/a/p/u h100 1x1 guaranteed""",
        "j1 waits: ShareBusy[guaranteed] /sme 1 of 2/2.5",
    ),
}

SHRUNK = {
    "16 healthy of 32 promised: 12 counts 6, 20 counts 10": Row(
        """tree /sme h100 g=12
        tree /uni h100 g=20
        pend j1 /sme/a/p/u h100 1x7 guaranteed
        pend j2 /sme/a/p/u h100 1x6 guaranteed
        pend j3 /uni/a/p/u h100 1x10 guaranteed""",
        """j2 guaranteed c: n1:6
        j3 guaranteed c: n1:10
        j1 waits: NoCapacity 7 of 0/16; ShareBusy[guaranteed] /sme 7 of 6/6; NoCapacity[guaranteed] / 32 of 16/12""",
    ),
    "rounded down to milli-GPUs: 16 x 5 / 21 = 3.809": Row(
        """tree /sme h100 g=5
        tree /uni h100 g=16
        pend j1 /sme/a/p/u h100 1x4 guaranteed""",
        "j1 waits: ShareBusy[guaranteed] /sme 4 of 0/3.809; NoCapacity[guaranteed] / 21 of 16/5",
    ),
    "a cordoned node counts only for what it still holds: 16 + 2 of 20": Row(
        """node n2 h100 4 cordoned
        tree /sme h100 g=20
        run r1 /sme/a/p/u h100 1x2 guaranteed on n2
        pend j1 /sme/a/p/u h100 1x16 guaranteed""",
        "j1 guaranteed c: n1:16",
    ),
    "with more in the pool's own guarantee than the classes get, the rest is for all": Row(
        """tree / h100 g=16
        tree /sme h100 g=4
        pend j1 /sme/a/p/u h100 1x8 guaranteed
        pend j2 /uni/a/p/u h100 1x8 guaranteed""",
        """j1 guaranteed c: n1:8
        j2 guaranteed c: n1:8""",
    ),
}

CAPS = {
    "an organisation at guarantee plus borrowing limit: 5 + 2 > 4 + 2": Row(
        """tree /sme h100 g=8
        tree /sme/a h100 g=4 bl=2
        run r1 /sme/a/p/u h100 1x5 borrow on n1
        pend j1 /sme/a/p/u h100 1x2 borrow
        pend j2 /sme/a/p/u h100 1x1 guaranteed,borrow""",
        """j2 guaranteed c: n1:1
        j1 waits: OrgCapReached /sme/a 2 of 6/6""",
    ),
    "every tree node of the path counts, the lowest is named first": Row(
        """tree /sme h100 bl=4
        tree /sme/a/p h100 bl=1
        tree /sme/a/p/u h100 bl=1
        run r1 /sme/a/p/u h100 1x1 scavenge on n1
        run r2 /sme/b/p/u h100 1x3 borrow on n1
        pend j1 /sme/a/p/u h100 1x1 borrow,scavenge""",
        """j1 waits: ProjectCapReached /sme/a/p/u 1 of 1/1; ProjectCapReached /sme/a/p 1 of 1/1;
        OrgCapReached /sme 1 of 4/4""",
    ),
    "a limit of 0 lends nothing to it but leaves the guarantee: 0 + 4 <= 4 + 0": Row(
        """tree /sme h100 g=4 bl=0
        pend j1 /sme/a/p/u h100 1x4 guaranteed,borrow
        pend j2 /sme/a/p/u h100 1x1 guaranteed,borrow""",
        """j1 guaranteed c: n1:4
        j2 waits: OrgCapReached /sme 1 of 4/4; ShareBusy[guaranteed] /sme 1 of 4/4""",
    ),
    "the cap does not shrink with the guarantee: 16 + 0 <= 24 + 0": Row(
        """tree /sme h100 g=24 bl=0
        tree /uni h100 g=24
        pend j1 /sme/a/p/u h100 1x16 borrow""",
        "j1 borrow c: n1:16",
    ),
}

LENDING = {
    "/uni lends 2 of 6: 4 of 16 stay with it, 12 are lent": Row(
        """tree /uni h100 g=6 ll=2
        tree /sme
        pend j1 /sme/a/p/u h100 1x12 borrow
        pend j2 /sme/a/p/u h100 1x1 borrow
        pend j3 /uni/a/p/u h100 1x4 guaranteed""",
        """j3 guaranteed c: n1:4
        j1 borrow c: n1:12
        j2 waits: NoCapacity 1 of 0/16""",
    ),
    "what the keeper uses is not kept twice: 4 - 3 = 1 stays": Row(
        """tree /uni h100 g=6 ll=2
        run r1 /uni/a/p/u h100 1x3 borrow on n1
        pend j1 /sme/a/p/u h100 1x12 borrow,scavenge
        pend j2 /sme/a/p/u h100 1x1 scavenge""",
        """j1 borrow c: n1:12
        j2 waits: ReservedForOther[scavenge] /uni 1 of 1/1""",
    ),
    "an organisation keeps inside its class too: max(0, 2 + 3) of /uni's children": Row(
        """tree /uni h100 g=8
        tree /uni/a h100 g=4 ll=2
        tree /uni/b h100 g=4 ll=1
        pend j1 /uni/c/p/u h100 1x12 borrow
        pend j2 /sme/a/p/u h100 1x11 borrow""",
        """j2 borrow c: n1:11
        j1 waits: NoCapacity 12 of 5/16; ReservedForOther[borrow] /uni/b 12 of 5/5""",
    ),
    "guaranteed starts take no notice of it": Row(
        """tree /uni h100 g=8 ll=0
        tree /sme h100 g=8
        pend j1 /sme/a/p/u h100 1x8 guaranteed
        pend j2 /sme/a/p/u h100 1x8 borrow""",
        """j1 guaranteed c: n1:8
        j2 waits: ReservedForOther[borrow] /uni 8 of 8/8""",
    ),
}

IN_LINE = {
    "of two that only machines stop the smaller share is next: 0 < 14": Row(
        """run r1 /uni/a/p/u h100 1x14 borrow on n1
        pend j1 /uni/a/p/u h100 1x3 borrow
        pend j2 /sme/a/p/u h100 1x4 borrow""",
        """j1 waits: NoCapacity 3 of 2/16; BehindHigherPriority[borrow] 3 of 2/4
        j2 waits: NoCapacity 4 of 2/16""",
    ),
    "a gang inside its guarantee comes before every borrower, whatever its share": Row(
        """tree /uni h100 g=16
        run r1 /lab/a/p/u h100 1x14 guaranteed on n1       # by a policy before this one: nothing is lent
        pend j1 /uni/a/p/u h100 1x3 guaranteed
        pend j2 /sme/a/p/u h100 1x4 guaranteed,borrow""",
        """j1 waits: NoCapacity 3 of 2/16
        j2 waits: NoCapacity 4 of 2/16; BehindHigherPriority[borrow] 4 of 2/3; ShareBusy[guaranteed] /sme 4 of 0/0""",
    ),
    "who is stopped by a cap is behind nobody, and nobody is behind a gang that fits nowhere": Row(
        """tree /sme h100 bl=2
        run r1 /uni/a/p/u h100 1x14 borrow on n1
        pend j1 /sme/a/p/u h100 1x3 borrow
        pend j2 /lab/a/p/u h100 2x16 borrow
        pend j3 /uni/a/p/u h100 1x3 borrow""",
        """j1 waits: OrgCapReached /sme 3 of 0/2; NoCapacity 3 of 2/16
        j2 waits: ModelUnavailable 32 of 16/16
        j3 waits: NoCapacity 3 of 2/16""",
    ),
    "where others keep what is free, nobody waits for machines alone: 2 - 1 < 2": Row(
        """tree /uni h100 g=2 ll=0
        run r1 /sme/a/p/u h100 1x14 borrow on n1
        pend j1 /sme/a/p/u h100 1x1 borrow
        pend j2 /lab/a/p/u h100 1x1 borrow""",
        """j1 waits: ReservedForOther[borrow] /uni 1 of 2/2
        j2 waits: ReservedForOther[borrow] /uni 1 of 2/2""",
    ),
}

TABLES = {"in line": IN_LINE, "guarantee": GUARANTEE, "shrunk": SHRUNK, "caps": CAPS, "lending": LENDING}
ROWS = {f"{table}: {name}": row for table, rows in TABLES.items() for name, row in rows.items()}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
def test_rule(row: Row) -> None:
    snapshot = world(ROOMY + row.text)
    wanted = "\n".join(line.strip() for line in row.wanted.splitlines()).replace(";\n", "; ")
    assert plan_text(snapshot, decide(snapshot)) == wanted

"""Policy texts made at random, and where each of their values stands: what is valid by construction.

A text is a tree of ``Entry``s and lists, written in block or flow style as the draw will have it. ``Written`` knows the
line and column, in characters, of every key and value.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

Place = tuple[int, int]
FLAVORS = ("h100-80g", "a100-80g", "b200", "l40s", "gaudi-3")
CLASSES = ("sme", "startup", "university", "hospital", "youth")
ORGS = ("hanbit-ai", "daon-lab", "nuri", "saebyeok", "garam")
REASONS = ("C-204", '"한빛: 증설, 2차"', "'🚀 for the launch'", "국가과제")


@dataclass(eq=False)
class Entry:
    """A key of a mapping and its value: a scalar as it is written, a mapping or a list.

    name: the key as it was made, whatever it is changed to.
    """

    key: str
    value: str | Sequence[Entry | Item]
    name: str = ""

    def __post_init__(self) -> None:
        self.name = self.name or self.key


@dataclass(eq=False)
class Item:
    """One mapping of a list."""

    value: list[Entry]


@dataclass
class Written:
    """A text with the places of its parts."""

    text: str
    keys: dict[Entry, Place] = field(default_factory=dict)
    values: dict[Entry | Item, Place] = field(default_factory=dict)
    documents: list[Place] = field(default_factory=list)


class _Pen:
    """Writes characters and knows where it is."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.line = self.column = 1

    @property
    def place(self) -> Place:
        return self.line, self.column

    def put(self, text: str) -> None:
        self.parts.append(text)
        breaks = text.count("\n")
        self.line += breaks
        self.column = len(text) - text.rfind("\n") if breaks else self.column + len(text)


def write(rng: random.Random, documents: Sequence[list[Entry]]) -> Written:
    """The documents as YAML text; styles, comments and blank lines are drawn."""
    pen, written = _Pen(), Written("")
    for number, document in enumerate(documents):
        pen.put("---\n" if number or rng.random() < 0.3 else "")
        pen.put(rng.choice(("", "# 공유 정책\n", "\n")))
        written.documents.append(pen.place)
        _block(rng, pen, written, document, 0)
    written.text = "".join(pen.parts)
    return written


def _block(rng: random.Random, pen: _Pen, written: Written, entries: Sequence[Entry], indent: int) -> None:
    for number, entry in enumerate(entries):
        pen.put(" " * indent if number else "")
        _key(pen, written, entry)
        nested = not isinstance(entry.value, str) and entry.value and indent < 6 and rng.random() < 0.5
        if not nested:
            _value(pen, written, entry)
            pen.put(rng.choice(("\n", "\n", "  # 참고\n")))
            continue
        pen.put("\n" + " " * (indent + 2))
        written.values[entry] = pen.place
        assert not isinstance(entry.value, str)
        if isinstance(entry.value[0], Item):
            _dashes(rng, pen, written, [item for item in entry.value if isinstance(item, Item)], indent + 2)
        else:
            _block(rng, pen, written, [item for item in entry.value if isinstance(item, Entry)], indent + 2)


def _dashes(rng: random.Random, pen: _Pen, written: Written, items: Sequence[Item], indent: int) -> None:
    for number, item in enumerate(items):
        pen.put((" " * indent if number else "") + "- ")
        written.values[item] = pen.place
        if rng.random() < 0.5:
            _block(rng, pen, written, item.value, indent + 2)
        else:
            _flow(pen, written, item.value)
            pen.put("\n")


def _key(pen: _Pen, written: Written, entry: Entry) -> None:
    written.keys[entry] = pen.place
    pen.put(f"{entry.key}:")


def _value(pen: _Pen, written: Written, entry: Entry) -> None:
    pen.put(" ")
    written.values[entry] = pen.place
    if isinstance(entry.value, str):
        pen.put(entry.value)
    else:
        _flow(pen, written, entry.value)


def _flow(pen: _Pen, written: Written, inner: Sequence[Entry | Item]) -> None:
    items = bool(inner) and isinstance(inner[0], Item)
    pen.put("[" if items else "{")
    for number, part in enumerate(inner):
        pen.put(", " if number else "")
        if isinstance(part, Item):
            written.values[part] = pen.place
            _flow(pen, written, part.value)
        else:
            _key(pen, written, part)
            _value(pen, written, part)
    pen.put("]" if items else "}")


def entries(*pairs: tuple[str, str | Sequence[Entry | Item]]) -> list[Entry]:
    """A mapping."""
    return [Entry(key, value) for key, value in pairs]


def policy(rng: random.Random) -> list[list[Entry]]:
    """The documents of a valid policy: one policy and its rate cards, in any order."""
    flavors = rng.sample(FLAVORS, rng.randint(1, 4))
    classes = {name: _class(rng, flavors) for name in rng.sample(CLASSES, rng.randint(1, 4))}
    document = entries(
        ("apiVersion", "dure.dev/v1alpha1"),
        ("kind", "Policy"),
        ("metadata", entries(("name", rng.choice(("national", "p-1"))))),
        *_sometimes(rng, ("timezone", rng.choice(("Asia/Seoul", "UTC")))),
        ("flavors", [Entry(name, _flavor(rng, name)) for name in flavors]),
        *_sometimes(rng, ("tiers", _tiers(rng))),
        *_sometimes(rng, ("half_life", "7d")),
        ("limits", _limits(rng)),
        ("classes", [Entry(name, value) for name, value in classes.items()]),
        *_sometimes(rng, ("overrides", list(_overrides(rng, flavors, classes)))),
        ("rate_card", "card-1"),
        *_sometimes(rng, ("billing", entries(("calendar", "month"), ("vat", "0.1")))),
    )
    head, rest = document[:2], document[2:]
    rng.shuffle(rest)
    cards = [_card(rng, f"card-{number}", flavors) for number in range(1, rng.randint(2, 3))]
    documents = [head + rest, *cards]
    rng.shuffle(documents)
    return documents


def _sometimes(
    rng: random.Random, pair: tuple[str, str | Sequence[Entry | Item]]
) -> Iterator[tuple[str, str | Sequence[Entry | Item]]]:
    if rng.random() < 0.6:
        yield pair


def _flavor(rng: random.Random, name: str) -> list[Entry]:
    selector = entries(("gpu.product", name.upper().replace("-", "")))
    return entries(("exchange", rng.choice(("1", "1.0", "0.45"))), *_sometimes(rng, ("selector", selector)))


def _tiers(rng: random.Random) -> list[Entry]:
    borrow = entries(("price", "0.4"), ("grace", "10m"))
    return entries(("borrow", borrow), *_sometimes(rng, ("scavenge", entries(("price", "0.1")))))


def _limits(rng: random.Random) -> list[Entry]:
    return entries(
        ("max_gpus_per_job", str(rng.randint(1, 512))),
        ("default_time", rng.choice(("30m", "12h"))),
        ("max_time", rng.choice(("12h", "7d"))),
        *_sometimes(rng, ("max_losses", "3")),
    )


def _amounts(amounts: dict[str, int]) -> list[Entry]:
    return [Entry(flavor, str(amount)) for flavor, amount in amounts.items()]


def _class(rng: random.Random, flavors: Sequence[str]) -> list[Entry]:
    """Guarantees from 8 on, of which an organisation is given less and lends less."""
    held = {flavor: rng.randint(8, 96) for flavor in flavors}
    default = {flavor: rng.randint(0, 3) for flavor in flavors}
    share = entries(
        ("weight", rng.choice(("1", "40", "0.5"))),
        ("guarantee", _amounts(held)),
        *_sometimes(rng, ("lending_limit", _amounts({flavor: amount // 2 for flavor, amount in held.items()}))),
        *_sometimes(rng, ("borrowing_limit", _amounts({flavors[0]: 128}))),
        *_sometimes(rng, ("org_default", entries(("weight", "1"), ("guarantee", _amounts(default))))),
        ("price", entries(("of_list", "0.10"), *_sometimes(rng, ("funder", rng.choice(("MSIT", "과기정통부")))))),
    )
    rng.shuffle(share)
    return share


def _overrides(rng: random.Random, flavors: Sequence[str], classes: dict[str, list[Entry]]) -> Iterator[Item]:
    """One for each target at most, and leases beside some; an organisation's guarantee is 4, its project's 2."""
    for org in rng.sample(ORGS, rng.randint(1, len(ORGS))):
        given = entries(("weight", "2"), ("guarantee", _amounts({flavors[0]: 4})))
        yield Item(entries(("org", org)) + given + entries(*_sometimes(rng, ("reason", rng.choice(REASONS)))))
        if rng.random() < 0.4:
            yield Item(entries(("org", org), ("weight", "5"), ("until", "2026-12-01T00:00:00+09:00")))
        if rng.random() < 0.4:
            yield Item(entries(("project", f"{org}/nlp"), ("guarantee", _amounts({flavors[0]: 2}))))


def _card(rng: random.Random, name: str, flavors: Sequence[str]) -> list[Entry]:
    return entries(
        ("kind", "RateCard"),
        ("metadata", entries(("name", name))),
        ("valid_from", "2026-01-01T00:00:00+09:00"),
        ("won_per_gpu_hour", [Entry(flavor, str(rng.randint(500, 9_000))) for flavor in flavors]),
    )

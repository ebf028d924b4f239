"""Mistakes that are planted into a policy text: what is changed, what must be said of it, and where.

Each ``Kind`` looks for a spot that no other mistake has claimed, changes it, and names the entry whose key or value the
finding stands at. A rule that compares several values claims them all: a value that is wrong itself is compared to
nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from tests.support.policy_texts import Entry, Item, Place, Written

Path = tuple[str, ...]
AMOUNTS = ("guarantee", "borrowing_limit", "lending_limit")
NUMBERS = ("weight", "exchange", "of_list", "price", "vat")
DURATIONS = ("half_life", "default_time", "max_time", "grace")


class Spot(NamedTuple):
    """An entry or item, the path to it, and the mapping or list that it stands in."""

    path: Path
    part: Entry | Item
    around: Sequence[Entry | Item]


@dataclass(frozen=True)
class Planted:
    """A mistake: its code, and the part whose key, value or document it stands at."""

    kind: str
    code: str
    at: Literal["key", "value", "document"]
    part: Entry | Item | None = None
    document: int = 0

    def place(self, written: Written) -> Place:
        """Line and column in the text as it was written."""
        if self.at == "document":
            return written.documents[self.document]
        assert self.part is not None
        if self.at == "value":
            return written.values[self.part]
        assert isinstance(self.part, Entry)
        return written.keys[self.part]


@dataclass
class Garden:
    """The documents with what was planted and claimed in them."""

    documents: list[list[Entry]]
    claimed: list[Path] = field(default_factory=list)

    def spots(self) -> Iterator[Spot]:
        """Every entry and item, documents in order."""
        for number, document in enumerate(self.documents):
            yield from _spots((str(number), _kind(document)), document)

    def find(self, want: Callable[[Spot], bool]) -> list[Spot]:
        """Spots that are wanted and free."""
        return [spot for spot in self.spots() if want(spot) and self.free(spot.path)]

    def free(self, *paths: Path) -> bool:
        """No claim lies at, around or inside any of the paths."""
        return not any(path[: len(old)] == old or old[: len(path)] == path for path in paths for old in self.claimed)

    def claim(self, *paths: Path) -> None:
        """Keep others away from these paths."""
        self.claimed.extend(paths)

    def matching(self, *pattern: str) -> list[Path]:
        """Paths inside the policy document that fit, ``*`` for any step."""
        return [
            spot.path
            for spot in self.spots()
            if spot.path[1] == "Policy"
            and len(spot.path) == len(pattern) + 2
            and all(want in ("*", step) for want, step in zip(pattern, spot.path[2:], strict=True))
        ]


def _kind(document: Sequence[Entry]) -> str:
    return "RateCard" if any(entry.name == "won_per_gpu_hour" for entry in document) else "Policy"


def _spots(path: Path, inner: Sequence[Entry | Item]) -> Iterator[Spot]:
    for number, part in enumerate(inner):
        here = (*path, part.name if isinstance(part, Entry) else str(number))
        yield Spot(here, part, inner)
        if isinstance(part.value, list):
            yield from _spots(here, part.value)


def _entry(spot: Spot) -> Entry:
    assert isinstance(spot.part, Entry)
    return spot.part


def _parts(inner: object) -> list[Any]:
    """A mapping or a list, to be changed: nothing is put into it but what belongs there."""
    assert isinstance(inner, list)
    return inner


def _is_value(spot: Spot, names: Sequence[str]) -> bool:
    return spot.path[-1] in names and isinstance(spot.part.value, str)


def _is_amount(spot: Spot) -> bool:
    return len(spot.path) > 3 and spot.path[-2] in AMOUNTS and spot.path[1] == "Policy"


def _free_name(spot: Spot) -> bool:
    """The key is a name that the author chose, not a field."""
    return spot.path[-2] in ("flavors", "classes", "selector", "won_per_gpu_hour", *AMOUNTS)


Plant = Callable[[random.Random, Garden], Planted | None]


def _changes(
    name: str, code: str, want: Callable[[Spot], bool], change: Callable[[random.Random, Entry], str]
) -> Plant:
    """A kind that gives one value another text."""

    def plant(rng: random.Random, garden: Garden) -> Planted | None:
        spots = garden.find(lambda spot: isinstance(spot.part, Entry) and want(spot))
        if not spots:
            return None
        spot = rng.choice(spots)
        garden.claim(spot.path)
        entry = _entry(spot)
        entry.value = change(rng, entry)
        return Planted(name, code, "value", entry)

    return plant


def _misspells_a_key(rng: random.Random, garden: Garden) -> Planted | None:
    spots = garden.find(lambda s: isinstance(s.part, Entry) and not _free_name(s) and s.path[-1] != "kind")
    spot = rng.choice(spots) if spots else None
    if spot is None or len(spot.path[-1]) < 4:
        return None
    garden.claim(spot.path)
    entry = _entry(spot)
    entry.key = entry.key[:-2] + entry.key[-1] + entry.key[-2] if entry.key[-1] != entry.key[-2] else entry.key + "x"
    return Planted("key misspelt", "DURE-1210", "key", entry)


def _adds_a_field(rng: random.Random, garden: Garden) -> Planted | None:
    spots = garden.find(lambda s: isinstance(s.part, Entry) and not _free_name(s) and isinstance(s.part.value, str))
    if not spots:
        return None
    entry = Entry("zzqqk", "1")
    path, _, around = rng.choice(spots)
    garden.claim((*path[:-1], "zzqqk"))
    _parts(around).append(entry)
    return Planted("unknown field", "DURE-1210", "key", entry)


def _repeats_a_key(rng: random.Random, garden: Garden) -> Planted | None:
    spots = garden.find(lambda s: isinstance(s.part, Entry) and isinstance(s.part.value, str) and s.path[-1] != "kind")
    if not spots:
        return None
    spot = rng.choice(spots)
    garden.claim(spot.path)
    again = Entry(_entry(spot).key, _entry(spot).value)
    _parts(spot.around).append(again)
    return Planted("key twice", "DURE-1211", "key", again)


def _repeats_an_override(rng: random.Random, garden: Garden) -> Planted | None:
    spots = garden.find(lambda s: isinstance(s.part, Item))
    if not spots:
        return None
    spot = rng.choice(spots)
    garden.claim(spot.path)
    copy = Item([Entry(part.key, part.value) for part in _parts(spot.part.value)])
    _parts(spot.around).append(copy)
    garden.claim((*spot.path[:-1], str(len(spot.around) - 1)))
    return Planted("override twice", "DURE-1231", "value", copy)


def _leaves_out(rng: random.Random, garden: Garden) -> Planted | None:
    """A required field of a class or flavor is not there."""
    required = {"weight": "classes", "price": "classes", "exchange": "flavors"}
    spots = garden.find(lambda s: len(s.path) == 5 and required.get(s.path[-1]) == s.path[2])
    spots = [spot for spot in spots if garden.free(spot.path[:-1]) and len(spot.around) > 1]
    if not spots:
        return None
    spot = rng.choice(spots)
    garden.claim(spot.path[:-1])
    _parts(spot.around).remove(spot.part)
    owner = next(item.part for item in garden.spots() if item.path == spot.path[:-1])
    return Planted("required field missing", "DURE-1212", "value", owner)


def _unknown_flavor(rng: random.Random, garden: Garden) -> Planted | None:
    spots = garden.find(_is_amount)
    flavors = garden.matching("flavors")
    if not spots or not garden.free(*flavors):
        return None
    spot = rng.choice(spots)
    garden.claim(spot.path[:-1], *flavors)
    _entry(spot).key = "tpu-v9"
    return Planted("unknown flavor", "DURE-1204", "key", _entry(spot))


def _compares(name: str, code: str, pattern: Sequence[str], others: Sequence[Sequence[str]], value: str) -> Plant:
    """A kind that a rule over several values finds: all of those are claimed."""

    def plant(rng: random.Random, garden: Garden) -> Planted | None:
        paths = garden.matching(*pattern)
        if not paths:
            return None
        path = rng.choice(paths)
        steps = iter(path[2:])
        named = [step for want, step in zip(pattern, steps, strict=True) if want == "*"]
        claims = [path]
        for other in others:
            filled = [named[0] if step == "NAME" else step for step in other]
            claims += garden.matching(*filled)
        if not garden.free(*claims):
            return None
        garden.claim(*claims)
        entry = next(_entry(spot) for spot in garden.spots() if spot.path == path)
        entry.value = value
        return Planted(name, code, "value", entry)

    return plant


def _all_weights_zero(rng: random.Random, garden: Garden) -> Planted | None:
    weights = garden.matching("classes", "*", "weight")
    if not weights or not garden.free(*weights) or len(weights) < len(garden.matching("classes", "*")):
        return None
    if not garden.free(*(path[:-1] for path in weights)):
        return None
    garden.claim(*(path[:-1] for path in weights))
    for spot in garden.spots():
        if spot.path in weights:
            _entry(spot).value = "0"
    classes = next(spot.part for spot in garden.spots() if spot.path[1:] == ("Policy", "classes"))
    return Planted("all weights zero", "DURE-1222", "value", classes)


def _removes_a_price(rng: random.Random, garden: Garden) -> Planted | None:
    spots = [s for s in garden.spots() if s.path[-1] == "won_per_gpu_hour" and _named(garden, s.path) == "card-1"]
    needed = [*garden.matching("flavors"), *garden.matching("rate_card")]
    if not spots or len(needed) < 2 or not garden.free(spots[0].path[:2], *needed):
        return None
    garden.claim(spots[0].path[:2], *needed)
    prices = spots[0].part.value
    assert isinstance(prices, list)
    if len(prices) < 2:
        return None
    prices.pop(rng.randrange(len(prices)))
    return Planted("price missing", "DURE-1228", "value", spots[0].part)


def _named(garden: Garden, path: Path) -> str:
    found = [s for s in garden.spots() if s.path == (*path[:2], "metadata", "name")]
    return str(found[0].part.value) if found else ""


def _unknown_card(rng: random.Random, garden: Garden) -> Planted | None:
    cards = [
        spot.path for spot in garden.spots() if spot.path[1] == "RateCard" and spot.path[2] in ("metadata", "kind")
    ]
    paths = garden.matching("rate_card")
    if not paths or not garden.free(*paths, *cards):
        return None
    garden.claim(*paths, *cards)
    entry = next(_entry(spot) for spot in garden.spots() if spot.path == paths[0])
    entry.value = "no-such-card"
    return Planted("unknown rate card", "DURE-1227", "value", entry)


def _raises_an_override(field_name: str, value: str) -> Plant:
    """An organisation has 4 and every class 8 to 96, a project has 2: more than those is above its parent's."""

    def plant(rng: random.Random, garden: Garden) -> Planted | None:
        needed = [*garden.matching("classes"), *garden.matching("flavors"), *garden.matching("overrides")]
        items = [spot for spot in garden.spots() if isinstance(spot.part, Item)]
        fitting = [spot.path for spot in items if _parts(spot.part.value)[0].key == field_name]
        inside = [s for s in garden.spots() if s.path[-2] == "guarantee" and s.path[:-2] in fitting]
        if not inside or len(needed) < 3 or not garden.free(*needed):
            return None
        garden.claim(*needed)
        entry = _entry(rng.choice(inside))
        entry.value = value
        return Planted(f"{field_name} above its parent", "DURE-1220", "value", entry)

    return plant


def _misspelt_kind(rng: random.Random, entry: Entry) -> str:
    return {"Policy": "Polcy", "RateCard": "Ratecard"}[str(entry.value)]


def _number(spot: Spot) -> bool:
    return _is_value(spot, NUMBERS) or (_is_amount(spot) and isinstance(spot.part.value, str))


KINDS: dict[str, Plant] = {
    "key misspelt": _misspells_a_key,
    "unknown field": _adds_a_field,
    "key twice": _repeats_a_key,
    "override twice": _repeats_an_override,
    "required field missing": _leaves_out,
    "unknown flavor": _unknown_flavor,
    "all weights zero": _all_weights_zero,
    "price missing": _removes_a_price,
    "unknown rate card": _unknown_card,
    "negated": _changes("negated", "DURE-1214", _number, lambda rng, e: f"-{rng.randint(1, 9)}"),
    "exponent": _changes("exponent", "DURE-1213", _number, lambda rng, e: f"{rng.randint(1, 9)}e-1"),
    "number in quotes": _changes("number in quotes", "DURE-1213", _number, lambda rng, e: f'"{e.value}"'),
    "alias": _changes("alias", "DURE-1203", lambda s: isinstance(s.part.value, str), lambda rng, e: "*base"),
    "anchor": _changes(
        "anchor", "DURE-1203", lambda s: isinstance(s.part.value, str), lambda rng, e: f"&base {e.value}"
    ),
    "tag": _changes("tag", "DURE-1203", lambda s: isinstance(s.part.value, str), lambda rng, e: f"!!str {e.value}"),
    "duration": _changes("duration", "DURE-1213", lambda s: _is_value(s, DURATIONS), lambda rng, e: "soon"),
    "instant": _changes(
        "instant", "DURE-1213", lambda s: _is_value(s, ("until", "valid_from")), lambda rng, e: "2026-12-01T00:00:00"
    ),
    "no mapping": _changes(
        "no mapping",
        "DURE-1213",
        lambda s: (
            not isinstance(s.part.value, str) and s.path[1] == "Policy" and s.path[-1] not in ("flavors", "classes")
        ),
        lambda rng, e: "text",
    ),
    "list for a value": _changes(
        "list for a value",
        "DURE-1213",
        lambda s: isinstance(s.part.value, str) and s.path[-1] != "kind",
        lambda rng, e: "[1]",
    ),
    "won in fractions": _changes(
        "won in fractions", "DURE-1213", lambda s: s.path[-2] == "won_per_gpu_hour", lambda rng, e: "2900.50"
    ),
    "kind misspelt": _changes("kind misspelt", "DURE-1216", lambda s: s.path[-1] == "kind", _misspelt_kind),
    "unknown zone": _changes(
        "unknown zone", "DURE-1230", lambda s: s.path[-1] == "timezone", lambda rng, e: "Asia/Soul"
    ),
    "times crossed": _compares(
        "times crossed", "DURE-1226", ("limits", "default_time"), [("limits", "max_time")], "30d"
    ),
    "lends too much": _compares(
        "lends too much",
        "DURE-1225",
        ("classes", "*", "lending_limit", "*"),
        [("classes", "NAME", "guarantee"), ("flavors",)],
        "97",
    ),
    "default above its class": _compares(
        "default above its class",
        "DURE-1220",
        ("classes", "*", "org_default", "guarantee", "*"),
        [("classes", "NAME", "guarantee"), ("flavors",)],
        "97",
    ),
    "organisation above every class": _raises_an_override("org", "97"),
    "project above its organisation": _raises_an_override("project", "5"),
}

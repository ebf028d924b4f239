"""Indices of arrays: what each text means, and what is refused."""

from __future__ import annotations

import re

import pytest

from scheduler.schema.arrays import INDEX_MAX, PATTERN, SIZE_MAX, parse_array, split_member
from scheduler.schema.bodies import TaskBody

GOOD: dict[str, tuple[tuple[int, ...], int]] = {
    "7": ((7,), 1),
    "0-3": ((0, 1, 2, 3), 4),
    "1-20:5": ((1, 6, 11, 16), 4),
    "1-3:9": ((1,), 1),
    "1,3,5-9": ((1, 3, 5, 6, 7, 8, 9), 7),
    "9,1": ((1, 9), 2),
    "1-20%4": (tuple(range(1, 21)), 4),
    "1-2%4": ((1, 2), 2),
    f"0-{SIZE_MAX - 1}": (tuple(range(SIZE_MAX)), SIZE_MAX),
    f"{INDEX_MAX}": ((INDEX_MAX,), 1),
}
BAD = {
    "": "no list",
    "a": "no list",
    "1-": "no list",
    "01": "no list",
    "1 - 3": "no list",
    "1,,2": "no list",
    "1-5%0": "no list",
    "1:2": "no list",
    "1-5:0": "no list",
    "-1": "no list",
    "1-2\n": "no list",
    "１": "no list",
    str(INDEX_MAX + 1): "no list",
    "5-1": "5-1 ends before it begins",
    "1,1": "1 repeats an index",
    "1-5,3-9": "3-9 repeats an index",
    "0-1000": "0-1000 has 1001 indices",
    "0-599,1000-1599": "1200 indices",
    "1," * 100 + "2": "no list",
}


@pytest.mark.parametrize("text", GOOD)
def test_what_a_text_means(text: str) -> None:
    found = parse_array(text)
    assert (found.indices, found.at_once) == GOOD[text]
    assert (found.size, found.text) == (len(found.indices), text)
    assert found.is_limited == (found.at_once < found.size)
    assert re.fullmatch(PATTERN, text)


@pytest.mark.parametrize("text", BAD)
def test_what_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(BAD[text])):
        parse_array(text)
    if text:  # no text is no array
        with pytest.raises(ValueError, match="array"):
            TaskBody(name="a", project="a/b", gpus="h100:1", run="true", array=text)


def test_a_member_is_named_by_its_index() -> None:
    assert split_member("ablate[3]") == split_member("ablate.3") == ("ablate", 3)
    for name in ("ablate", "ablate.x", "ablate[-1]", "a.b.3", "ablate[3]x", ".3", "ablate[1234567]"):
        assert split_member(name) == (name, None)

"""The page: golden, well-formed, safe under the strictest policy, readable without eyes and without colour."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path
from string import Formatter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.schema.bodies import FairnessBody
from scheduler.schema.body_fairness import FairnessPoint
from scheduler.services.fairness_bodies import as_csv
from scheduler.web import plots
from scheduler.web.fairness_page import POLICY, STYLE, page
from scheduler.web.words import WORDS, Lang
from tests.support.golden import assert_golden
from tests.unit.web.fixed import fixed

GOLDEN = Path(__file__).parent / "golden"
VOID = frozenset({"meta", "rect", "line", "polyline"})
PAGES: dict[str, tuple[bool, Lang]] = {
    "whole-ko": (False, "ko"),
    "whole-en": (False, "en"),
    "public-ko": (True, "ko"),
    "public-en": (True, "en"),
}


class Tags(HTMLParser):
    """What a page is made of; raises AssertionError where tags do not close in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open, self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"{tag} has an attribute twice"
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop() == tag

    def of(self, tag: str) -> list[dict[str, str]]:
        """The attributes of all these tags."""
        return [attrs for name, attrs in self.found if name == tag]


def made(name: str) -> str:
    """One of the pages."""
    public, lang = PAGES[name]
    return page(fixed(public), lang)


@pytest.mark.parametrize("name", ["whole-ko", "public-en"])
def test_the_page_is_the_committed_one(name: str) -> None:
    assert_golden(GOLDEN / f"{name}.html", made(name))


@pytest.mark.parametrize("view", ["whole", "public"])
def test_json_and_csv_are_the_committed_ones(view: str) -> None:
    body = fixed(view == "public")
    assert_golden(GOLDEN / f"{view}.json", body.model_dump_json(indent=2) + "\n")
    assert_golden(GOLDEN / f"{view}.csv", as_csv(body))


def test_the_public_view_names_no_organisation() -> None:
    for text in (made("public-ko"), made("public-en"), as_csv(fixed(True)), fixed(True).model_dump_json()):
        assert re.findall(r"(?:sme|startup|university)-[a-h]", text) == []
    assert "university-h" in made("whole-ko")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing_and_runs_nothing(name: str) -> None:
    text = made(name)
    tags = Tags(text)
    kinds = {tag for tag, _ in tags.found}
    assert not kinds & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "use", "image", "video"}
    assert re.findall(r"https?:|//[a-z]|@import", text) == []
    assert set(re.findall(r"url\(([^)]*)\)", text)) == {"#hatch", "#slant"}
    for _, attrs in tags.found:
        assert not any(name.startswith("on") or name in ("style", "src", "srcset") for name in attrs), attrs
        assert attrs.get("href", "#").startswith("#")


@pytest.mark.parametrize(("organisations", "drawn"), [((0, 500_000, 1_000_000), True), ((0, 1_000_000), False)])
def test_a_curve_of_one_group_is_not_drawn_as_evenness(organisations: tuple[int, ...], drawn: bool) -> None:
    found = fixed(public=True)
    points = [FairnessPoint(organisations_ppm=part, received_ppm=part) for part in organisations]
    text = page(found.model_copy(update={"lorenz": points}), "en")
    assert ('id="lorenz-heading"' in text) == drawn


@pytest.mark.parametrize("name", PAGES)
def test_the_style_is_the_one_that_the_policy_names(name: str) -> None:
    text = made(name)
    style = text[text.index("<style>") + len("<style>") : text.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
    policy = [attrs["content"] for attrs in Tags(text).of("meta") if attrs.get("http-equiv")]
    assert policy == [POLICY]
    assert POLICY.startswith("default-src 'none'; ")


@pytest.mark.parametrize("name", PAGES)
def test_everything_has_a_name_that_can_be_read_out(name: str) -> None:
    tags = Tags(made(name))
    ids = [attrs["id"] for _, attrs in tags.found if "id" in attrs]
    assert len(set(ids)) == len(ids)
    pointed = [ref for _, attrs in tags.found for ref in attrs.get("aria-labelledby", "").split()]
    assert set(pointed) <= set(ids)
    assert {attrs["href"][1:] for attrs in tags.of("a")} <= set(ids)
    pictures = [attrs for attrs in tags.of("svg") if attrs.get("aria-hidden") != "true"]
    assert pictures
    assert all(attrs["role"] == "img" and attrs["aria-labelledby"] for attrs in pictures)
    assert len(tags.of("title")) == len(tags.of("desc")) + 1 == len(pictures) + 1
    assert len(tags.of("caption")) == len(tags.of("table")) >= len(pictures), "under each picture its table"
    assert all(attrs.get("scope") in ("col", "row") for attrs in tags.of("th"))
    scrolled = [attrs for attrs in tags.of("div") if attrs.get("class") == "sheet"]
    assert all(attrs["tabindex"] == "0" and attrs["role"] == "region" and attrs["aria-label"] for attrs in scrolled)
    assert [attrs["lang"] for attrs in tags.of("html")] == [PAGES[name][1]]
    levels = [int(tag[1]) for tag, _ in tags.found if re.fullmatch("h[1-6]", tag)]
    assert levels == [1] + [2] * (len(levels) - 1)


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2.2 defines it."""
    whole = colour if len(colour) == 6 else "".join(digit * 2 for digit in colour)
    parts = [int(whole[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


RULES = """
:root; footer; .glance dt; .glance small; text; text.tick, text.axis; .received; .due; .curve; .half; .hatch-front;
.slant-front
"""


def test_colours_can_be_told_from_their_ground() -> None:
    """Text 4.5 to 1 (WCAG 1.4.3), what a picture says 3 to 1 (1.4.11); tracks and grids say nothing."""
    meaningful = {
        rule: re.search(rf"^{re.escape(rule)} {{[^}}]*?(?:fill|stroke|color): #([0-9a-f]+)", STYLE, re.MULTILINE)
        for rule in (part.strip() for part in RULES.split(";"))
    }
    for rule, found in meaningful.items():
        least = 4.5 if rule[0] != "." or "glance" in rule else 3
        assert found, rule
        assert 1.05 / (luminance(found[1]) + 0.05) >= least, rule


def test_both_languages_say_the_same() -> None:
    def fields(text: str) -> list[str]:
        return sorted(name for _, name, _, _ in Formatter().parse(text) if name)

    korean, english = WORDS["ko"], WORDS["en"]
    assert korean.keys() == english.keys()
    for key, text in english.items():
        assert fields(korean[key]) == fields(text), key
        assert key in ("lorenz_x", "of") or re.search("[가-힣]", korean[key]), f"{key} is not Korean"


def test_a_name_cannot_become_mark_up() -> None:
    body = fixed(False)
    line = next(share for share in body.shares if share.level == "organisation")
    evil = line.model_copy(update={"tree_node": '/sme/<img src=x onerror=1>&"'})
    text = page(body.model_copy(update={"shares": [*body.shares, evil]}), "ko")
    assert "<img" not in text
    assert "&lt;img src=x onerror=1&gt;" in text
    Tags(text)


def test_an_empty_report_is_a_page() -> None:
    empty = fixed(False).model_copy(update={"shares": [], "waits": [], "days": [], "lorenz": [], "policy_versions": []})
    text = page(empty, "en")
    assert WORDS["en"]["nothing"] in text
    assert WORDS["en"]["no_policy"] in text
    Tags(text)


def test_the_same_report_has_the_same_bytes() -> None:
    again = FairnessBody.model_validate_json(fixed(False).model_dump_json())
    assert page(again, "ko") == made("whole-ko")


@given(st.integers(1, 1 << 60), st.integers(1, 1 << 60))
def test_the_scale_of_durations_rises_and_is_exact_at_powers_of_two(one: int, other: int) -> None:
    assert (plots.log2_milli(one) <= plots.log2_milli(other)) or one > other
    power = one.bit_length()
    assert plots.log2_milli(1 << power) == 1_000 * power


AMOUNTS = st.integers(0, 1 << 50)


@given(
    st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=5),
    st.lists(st.tuples(AMOUNTS, AMOUNTS), max_size=5),
    st.lists(st.tuples(AMOUNTS, st.none() | AMOUNTS), max_size=40),
)
def test_no_shape_leaves_its_picture(
    shares: list[tuple[int, int]], waits: list[tuple[int, int]], days: list[tuple[int, int | None]]
) -> None:
    drawn = (
        plots.bullets("a", "", "", [plots.Bullet("", "", *pair) for pair in shares]),
        plots.durations("b", "", "", [plots.Span("", ((p50, ""), (p95, ""))) for p50, p95 in waits]),
        plots.columns("c", "", "", [plots.Column("", *day) for day in days]),
        plots.curve("d", "", "", [(0, 0), (500_000, 100_000), (1_000_000, 1_000_000)], ("", "")),
    )
    for plot in drawn:
        for shape in plot.shapes:
            if isinstance(shape, plots.Rect):
                assert 0 <= shape.x <= shape.x + shape.width <= plots.WIDTH
                assert 0 <= shape.y <= shape.y + shape.height <= plot.height
            elif isinstance(shape, plots.Line):
                assert 0 <= min(shape.x1, shape.x2) <= max(shape.x1, shape.x2) <= plots.WIDTH
                assert 0 <= min(shape.y1, shape.y2) <= max(shape.y1, shape.y2) <= plot.height
            elif isinstance(shape, plots.Path):
                assert all(0 <= x <= plots.WIDTH and 0 <= y <= plot.height for x, y in shape.points)

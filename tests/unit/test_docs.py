"""The documentation against the repository: links lead somewhere, examples are right, both READMEs agree.

That the commands do what the pages say is shown by tests/e2e/test_tutorials.py.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from scheduler.cli.main import cli
from scheduler.policy.loader import LoadedPolicy, load
from tests.support import pages, source
from tests.support.source import ROOT

MARKDOWN = [path for path in source.tracked_files() if path.suffix == ".md"]
LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
TUTORIALS = ROOT / "docs" / "tutorials"
RUN_PAGES = [ROOT / "README.md", *(path for path in sorted(TUTORIALS.glob("*.md")) if path.name != "README.md")]


def anchors(page: str) -> set[str]:
    """The places of a page that a link may name, as its headings are turned into them."""
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def dead_links(path: Path, text: str) -> list[str]:
    """Links of a page to files or headings that are not there."""
    found = []
    for link in LINK.findall(text):
        target, _, anchor = link.partition("#")
        file = path.parent / target if target else path
        if "://" in link or (file.exists() and not anchor):
            continue
        if not file.is_file() or anchor not in anchors(file.read_text(encoding="utf-8")):
            found.append(f"{path.name}: {link}")
    return found


def tasks() -> list[tuple[str, str]]:
    """(page, text) of every task file that a page shows, as YAML or written by a command of a tutorial."""
    found = []
    for path in MARKDOWN:
        page = path.read_text(encoding="utf-8")
        texts = [text for kind, _, text in pages.fences(page) if kind == "yaml"]
        texts += re.findall(r"^cat > \S+\.yaml <<'EOF'\n(.*?)^EOF$", page, re.MULTILINE | re.DOTALL)
        found += [(path.name, text) for text in texts if "\nrun: " in text]
    return found


def test_every_link_leads_somewhere() -> None:
    assert len(MARKDOWN) > 20
    source.assert_none(link for path in MARKDOWN for link in dead_links(path, path.read_text(encoding="utf-8")))


def test_a_dead_link_is_found() -> None:
    text = "[a](README.md) [b](nowhere.md) [c](README.md#state) [d](README.md#no-such-heading) [e](#gone)"
    found = dead_links(ROOT / "README.md", text)
    assert [link.split()[1] for link in found] == ["nowhere.md", "README.md#no-such-heading", "#gone"]


def test_both_readmes_have_the_same_commands() -> None:
    english, korean = (
        pages.fences((ROOT / name).read_text(encoding="utf-8")) for name in ("README.md", "README.ko.md")
    )
    assert [block for block in english if block[0]] == [block for block in korean if block[0]] != []
    assert len(english) == len(korean)


def test_both_readmes_point_to_the_same_places() -> None:
    english, korean = (
        LINK.findall((ROOT / name).read_text(encoding="utf-8")) for name in ("README.md", "README.ko.md")
    )
    assert sorted(english[1:]) == sorted(korean[1:])


@pytest.mark.parametrize("path", RUN_PAGES, ids=lambda path: path.stem)
def test_every_command_of_a_page_is_run(path: Path) -> None:
    """Only the installation is left out, and every page has one server and says what its commands print."""
    page = path.read_text(encoding="utf-8")
    items = pages.blocks(page)
    assert [item.role for item in items].count("server") == 1
    assert {item.role for item in items} <= {"", "server", "install"}
    assert all("make " in item.commands for item in items if item.role == "install")
    assert {kind for kind, _, _ in pages.fences(page)} <= {"", "sh", "text"}
    assert all("dure " not in text or "──►" in text for kind, _, text in pages.fences(page) if not kind)
    assert any(item.expected for item in items)


@pytest.mark.parametrize("shown", tasks(), ids=lambda shown: shown[0])
def test_a_task_that_a_page_shows_is_right(
    shown: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.py").write_text("print()\n", encoding="utf-8")
    (tmp_path / "task.yaml").write_text(shown[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli(["check", "task.yaml"])
    assert ended.value.code == 0, capsys.readouterr().err


def test_there_are_tasks_to_check() -> None:
    assert {name for name, _ in tasks()} >= {"task-file.md", "startup.md"}
    assert len(tasks()) >= 4


def test_the_task_of_the_examples_is_the_one_its_page_shows() -> None:
    (shown,) = [text for name, text in tasks() if text.startswith("name: digits")]
    assert (ROOT / "examples" / "digits.yaml").read_text(encoding="utf-8") == shown
    assert (ROOT / "examples" / yaml.safe_load(shown)["run"].split()[1]).is_file()


def test_the_pool_of_the_tutorials_is_a_policy() -> None:
    text = (TUTORIALS / "pool.yaml").read_text(encoding="utf-8")
    result = load(text, "pool.yaml", known_rate_cards=())
    assert isinstance(result, LoadedPolicy), result


EXPECTATIONS = [
    # expected lines, what was printed, the first that is missing
    (("a … c",), "a b c", ""),
    (("a … c",), "a b\nc", "a … c"),
    (("b", "a"), "a\nb", "a"),
    (("a", "b"), "a\nx\nb", ""),
    (("a  b",), "a    b", ""),
    (("a", "a"), "a", "a"),
    (("1.0",), "1x0", "1.0"),
]


@pytest.mark.parametrize(("expected", "output", "first"), EXPECTATIONS)
def test_what_must_appear(expected: tuple[str, ...], output: str, first: str) -> None:
    assert pages.missing(expected, output) == first

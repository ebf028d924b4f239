"""The identity of the code that decides follows what decides, and nothing else."""

from __future__ import annotations

from pathlib import Path

from scheduler.main.code import code_of, deciding_code


def test_it_follows_names_and_contents(tmp_path: Path) -> None:
    folder = tmp_path / "core"
    folder.mkdir()
    (folder / "a.py").write_text("x = 1\n")
    seen = [code_of([folder])]
    (folder / "notes.txt").write_text("no code")
    assert code_of([folder]) == seen[0]
    (folder / "a.py").write_text("x = 2\n")
    seen.append(code_of([folder]))
    (folder / "a.py").rename(folder / "b.py")
    seen.append(code_of([folder]))
    (folder / "c").mkdir()
    (folder / "c" / "d.py").write_text("")
    seen.append(code_of([folder]))
    assert len(set(seen)) == len(seen)
    elsewhere = tmp_path / "other" / "core"
    elsewhere.parent.mkdir()
    folder.rename(elsewhere)
    assert code_of([elsewhere]) == seen[-1], "where it is installed does not matter"


def test_this_process_has_one() -> None:
    assert len(deciding_code()) == 12
    assert deciding_code() == deciding_code()

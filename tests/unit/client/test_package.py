"""Packing a work directory: the same bytes every time, nothing secret, nothing from outside, bounded."""

from __future__ import annotations

import hashlib
import io
import os
import random
import socket
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from operators.local.package import unpack
from scheduler.client.package import Limits, Package, pack
from scheduler.core.errors import Finding
from tests.support.source import ROOT


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def packed(root: Path, limits: Limits | None = None) -> Package:
    package, findings = pack(root, limits)
    assert findings == []
    assert package is not None
    return package


def names(root: Path) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(packed(root).content)) as archive:
        return archive.namelist()


def refused(root: Path, limits: Limits | None = None) -> list[Finding]:
    package, findings = pack(root, limits)
    assert package is None
    assert findings
    return findings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    work = tmp_path / "job"
    work.mkdir()
    return work


FILES: dict[str, str | bytes] = {
    "train.py": "print(1)\n",
    "src/a.py": "a = 1\n",
    "src/한글.txt": "가나다",
    "z": b"\0\1",
}
PINNED = "53ec1f57dccc65a715cde687bc2f864da9b7b8af1ae62df53dbc24d7a3658db3"


def test_same_files_same_bytes_in_another_place_time_and_order(tmp_path: Path, rng: random.Random) -> None:
    one = write(tmp_path / "one", FILES)
    shuffled = list(FILES.items())
    rng.shuffle(shuffled)
    two = write(tmp_path / "two", dict(shuffled))
    for number, path in enumerate(sorted(two.rglob("*"))):
        os.utime(path, (number * 1_000, number * 1_000))
        if path.is_file():
            path.chmod(0o600)
    assert packed(one) == packed(two)


def test_bytes_are_pinned(folder: Path) -> None:
    # Not the zip's own sum: another zlib may deflate to other bytes, but the entries are the same everywhere.
    package = packed(write(folder, FILES))
    with zipfile.ZipFile(io.BytesIO(package.content)) as archive:
        entries = archive.infolist()
        parts = [(entry.filename, archive.read(entry), entry.external_attr, entry.date_time) for entry in entries]
    digest = hashlib.sha256(repr(parts).encode()).hexdigest()
    assert digest == PINNED
    assert package.sha256 == hashlib.sha256(package.content).hexdigest()


def test_another_process_makes_the_same_bytes(folder: Path) -> None:
    write(folder, FILES)
    code = (
        "import sys; from pathlib import Path; from scheduler.client.package import pack;"
        "print(pack(Path(sys.argv[1]))[0].sha256)"
    )
    env = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "America/New_York", "LANG": "C", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == packed(folder).sha256


def test_an_operator_unpacks_what_was_packed(folder: Path, tmp_path: Path) -> None:
    write(folder, {**FILES, "run.sh": "#!/bin/sh\n"})
    (folder / "run.sh").chmod(0o755)
    package = packed(folder)
    target = tmp_path / "unpacked"
    unpack(package.content, package.sha256, target)
    found = {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    wanted = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == wanted
    assert (target / "run.sh").stat().st_mode & stat.S_IXUSR
    assert not (target / "train.py").stat().st_mode & stat.S_IXUSR


LEFT_OUT = (
    ".env",
    ".env.production",
    ".ENV",
    "id_rsa",
    "keys/server.pem",
    "keys/Server.KEY",
    "store.p12",
    ".netrc",
    ".aws/credentials",
    ".ssh/config",
    "deep/down/credentials.json",
    "client_secret_1234.json",
    ".git-credentials",
    "prod.env",
    "secrets.env",
    "admin.token",
    "kaggle.json",
    ".huggingface/token",
    ".streamlit/secrets.toml",
    "gcloud/application_default_credentials.json",
    ".s3cfg",
    "rclone.conf",
    "terraform.tfstate",
    "terraform.tfstate.backup",
)


@pytest.mark.parametrize("name", LEFT_OUT)
def test_secrets_stay_at_home_and_are_named(folder: Path, name: str) -> None:
    write(folder, {"train.py": "1", name: "secret"})
    assert names(folder) == ["train.py"]
    left = packed(folder).secrets_left_out
    assert len(left) == 1
    assert name.startswith(left[0])


def test_secrets_stay_at_home_even_when_an_ignore_file_wants_them(folder: Path) -> None:
    write(folder, {".dureignore": "!.env\n!*.pem\n", ".env": "TOKEN=1", "a.pem": "x", "train.py": "1"})
    assert names(folder) == [".dureignore", "train.py"]


BEGIN, END = "-----BEGIN ", "PRIVATE KEY-----"
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
KEYS: dict[str, str | bytes] = {
    "alone": f"{BEGIN}OPENSSH {END}\nabc\n",
    "after a byte order mark": b"\xef\xbb\xbf" + f"{BEGIN}{END}\r\nabc\r\n".encode(),
    "behind a certificate": f"{CERTIFICATE * 40}{BEGIN}RSA {END}\nabc\n",
    "behind a bag's attributes": f"Bag Attributes\n    friendlyName: me\n{BEGIN}ENCRYPTED {END}\n",
    "indented in YAML": f"tls:\n  key: |\n    {BEGIN}EC {END}\n    abc\n",
    "a service account": f'{{"type": "service_account", "private_key": "{BEGIN}{END}\\nabc"}}',
    "of PGP": f"{BEGIN}PGP PRIVATE KEY BLOCK-----\n",
}


@pytest.mark.parametrize("content", KEYS.values(), ids=KEYS.keys())
def test_a_private_key_under_another_name_stays_at_home(folder: Path, content: str | bytes) -> None:
    write(folder, {"deploy": content, "train.py": "1"})
    assert names(folder) == ["train.py"]
    assert packed(folder).secrets_left_out == ("deploy",)


NO_KEYS = {
    "a public key": "ssh-ed25519 AAAA",
    "a certificate": CERTIFICATE,
    "a text that names the mark": f"see {BEGIN}{END}\n",
    "a program that looks for it": f'MARK = "{BEGIN}{END}"\n',
}


@pytest.mark.parametrize("content", NO_KEYS.values(), ids=NO_KEYS.keys())
def test_what_is_no_private_key_travels(folder: Path, content: str) -> None:
    assert names(write(folder, {"notes": content})) == ["notes"]


@pytest.mark.parametrize("mark", ["dure.lock", "dure.db", "operator.lock"])
def test_the_data_of_a_dure_up_never_travels_under_any_name(folder: Path, mark: str) -> None:
    write(folder, {"train.py": "1", f"state/{mark}": "", "state/attempts/spec.json": "{}", "state/notes": "1"})
    assert names(folder) == ["train.py"]
    (finding,) = refused(folder / "state")
    assert (finding.code, "data folder" in finding.message) == ("DURE-1024", True)


def test_folders_of_tools_are_never_sent(folder: Path) -> None:
    tools = {f"{name}/x": "1" for name in (".git", ".venv", "__pycache__", "src/__pycache__", ".mypy_cache")}
    write(folder, {"train.py": "1", **tools, "myenv/pyvenv.cfg": "home = /usr", "myenv/lib/x.py": "1"})
    assert names(folder) == ["train.py"]
    assert packed(folder).secrets_left_out == ()


IGNORED = {
    "by suffix": ({".gitignore": "*.log\n"}, ["a.log", "sub/b.log"], ["a.txt"]),
    "by folder": ({".gitignore": "build/\n"}, ["build/x", "sub/build/y"], ["builder"]),
    "anchored": ({".gitignore": "/data\n"}, ["data/x"], ["sub/data/x"]),
    "negated": ({".gitignore": "*.log\n!keep.log\n"}, ["a.log"], ["keep.log"]),
    "deeper decides": ({".gitignore": "*.csv\n", "sub/.gitignore": "!*.csv\n"}, ["a.csv"], ["sub/a.csv"]),
    "dureignore alone": ({".dureignore": "data/\n"}, ["data/x"], ["x"]),
    "dureignore has the last word": ({".gitignore": "*.bin\n", ".dureignore": "!need.bin\n"}, ["a.bin"], ["need.bin"]),
    "comments and spaces": ({".gitignore": "# all\n\n  \n*.tmp\n"}, ["a.tmp"], ["# all"]),
    "double star": ({".gitignore": "**/cache/**\n"}, ["cache/a", "x/cache/y/z"], ["cached"]),
    "with a byte that is not UTF-8": ({".gitignore": b"\xff\n*.log\n"}, ["a.log"], ["a.txt"]),
}


@pytest.mark.parametrize(("rules", "out", "kept"), IGNORED.values(), ids=IGNORED.keys())
def test_ignore_files(folder: Path, rules: dict[str, str | bytes], out: list[str], kept: list[str]) -> None:
    write(folder, {**dict.fromkeys([*out, *kept], "1"), **rules})
    assert names(folder) == sorted([*kept, *rules])


def test_ignore_files_agree_with_git(folder: Path) -> None:
    rules = "*.log\n/only-top\nbuild/\n!keep.log\nsub/*.tmp\n**/deep/x\n[ab].txt\nspace\\ \n"
    tree = ["a.log", "keep.log", "only-top", "sub/only-top", "build/x", "sub/build/y", "sub/a.tmp", "a.tmp", "a.txt"]
    tree += ["c.txt", "one/deep/x", "deep/x", "deep/y", "space ", "plain"]
    write(folder, {".gitignore": rules, **dict.fromkeys(tree, "1")})
    subprocess.run(["git", "init", "-q", str(folder)], check=True, timeout=30)
    command = ["git", "-C", str(folder), "ls-files", "-z", "--others", "--exclude-standard"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=30)
    assert names(folder) == sorted(done.stdout.decode().split("\0")[:-1])


def test_rules_of_the_repository_around_hold(tmp_path: Path) -> None:
    write(tmp_path, {".git/HEAD": "ref", ".gitignore": "*.ckpt\n/job/out/\n", "job/a.ckpt": "1", "job/out/x": "1"})
    write(tmp_path, {"job/train.py": "1"})
    assert names(tmp_path / "job") == ["train.py"]
    (tmp_path / ".git" / "HEAD").unlink()
    (tmp_path / ".git").rmdir()
    assert names(tmp_path / "job") == ["a.ckpt", "out/x", "train.py"]


def test_links_inside_are_followed_and_those_outside_refused(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, {"outside.txt": "1"})
    write(folder, {"real/a.txt": "a", "deep/x": "x"})
    (folder / "file").symlink_to("real/a.txt")
    (folder / "folder").symlink_to("real")
    assert names(folder) == ["deep/x", "file", "folder/a.txt", "real/a.txt"]
    (folder / "out").symlink_to(tmp_path / "outside.txt")
    (folder / "deep" / "up").symlink_to("..")
    (folder / "gone").symlink_to("nowhere")
    (folder / "me").symlink_to("me")
    found = {finding.where: finding.message for finding in refused(folder)}
    assert found["out"] == "the link leads out of the work directory"
    assert found["deep/up"] == "the link leads to a folder around it"
    assert found["gone"] == "the link leads nowhere"
    assert set(found) == {"out", "deep/up", "gone", "me"}
    write(folder, {".dureignore": "out\nup\ngone\nme\n"})
    assert "file" in names(folder)


def test_a_link_does_not_bring_in_a_secret(folder: Path) -> None:
    write(folder, {".env": "TOKEN", ".git/config": "url"})
    (folder / "settings").symlink_to(".env")
    (folder / "repo").symlink_to(".git")
    assert {finding.where for finding in refused(folder)} == {"settings", "repo"}


def test_sockets_and_pipes_are_left_out(folder: Path) -> None:
    write(folder, {"train.py": "1"})
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket is short
        try:
            listener.bind("sock")
        finally:
            os.chdir(here)
        assert names(folder) == ["train.py"]


LARGE = {
    "files": (Limits(files=2), {"a": "1", "b/x": "1", "b/y": "1"}, "more than 2 files", "b/ (2 B, 2 files)"),
    "content": (
        Limits(content_bytes=5),
        {"a": "123", "b": "1234"},
        "holds 7 B, at most 5 B",
        "b (4 B, 1 file), a (3 B",
    ),
    "zip": (Limits(zip_bytes=100), {"a": "1", "b": "2"}, "as a zip, at most 100 B", "a (1 B, 1 file)"),
    "visits": (Limits(visits=2), {"a": "1", "b": "2", "c": "3"}, "holds more than", "a (1 B"),
    "a bomb": (Limits(), {"a": b"\0" * 5_000_000}, "nothing but repetition", "a (4.8 MiB"),
}


@pytest.mark.parametrize(("limits", "files", "says", "names_it"), LARGE.values(), ids=LARGE.keys())
def test_limits(folder: Path, limits: Limits, files: dict[str, str | bytes], says: str, names_it: str) -> None:
    (finding,) = refused(write(folder, files), limits)
    assert says in finding.message
    assert names_it in finding.message
    assert finding.fix == "list what the job does not need in .dureignore"


def test_what_is_exactly_at_the_limits_goes_through(folder: Path) -> None:
    write(folder, {"a": "12", "b": "345"})
    size = len(packed(folder).content)
    assert packed(folder, Limits(zip_bytes=size, files=2, content_bytes=5)).files == 2
    refused(folder, Limits(zip_bytes=size - 1))


LONG = "/".join(letter * 250 for letter in "vwxyz")


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "back\\slash", "c:drive", LONG])
def test_names_that_an_operator_would_refuse(folder: Path, name: str) -> None:
    write(folder, {name: "1"})
    (finding,) = refused(folder)
    assert finding.code == "DURE-1023"


def test_a_name_that_is_not_utf_8(folder: Path) -> None:
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe"))).write_text("1")
    (finding,) = refused(folder)
    assert finding.where == "\\udcff\\udcfe"


def test_the_home_folder_and_the_disk_are_refused(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert refused(folder)[0].message == "the work directory is your home folder or the whole disk"
    assert refused(Path("/"))[0].code == "DURE-1024"
    assert refused(folder / "missing")[0].message == "the work directory is no folder"


def test_a_very_deep_tree_is_a_finding_and_no_crash(folder: Path) -> None:
    here = os.open(folder, os.O_RDONLY)
    try:
        for _ in range(700):
            os.mkdir("d", dir_fd=here)
            inner = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
    finally:
        os.close(here)
    assert {finding.code for finding in refused(folder)} <= {"DURE-1022", "DURE-1023"}


NOTHING: dict[str, tuple[dict[str, str | bytes], str]] = {
    "empty": ({}, "is empty"),
    "ignored around it": ({"../.git/HEAD": "ref", "../.gitignore": "job/\n", "train.py": "1"}, "left out"),
    "ignored in it": ({".gitignore": "*\n", "train.py": "1"}, "left out"),
    "nothing but secrets": ({".env": "TOKEN=1"}, "left out"),
}


@pytest.mark.parametrize(("files", "says"), NOTHING.values(), ids=NOTHING.keys())
def test_a_work_directory_that_sends_nothing_is_said(folder: Path, files: dict[str, str | bytes], says: str) -> None:
    (finding,) = refused(write(folder, files))
    assert (finding.code, says in finding.message) == ("DURE-1025", True)


def test_what_is_ignored_around_can_be_taken_back_in(folder: Path) -> None:
    write(folder, {"../.git/HEAD": "ref", "../.gitignore": "job/\n", "train.py": "1", ".dureignore": "!*\n"})
    assert names(folder) == [".dureignore", "train.py"]

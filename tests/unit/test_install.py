"""Set-up on machines unlike ours: other Pythons, no venv, sudo, somebody else at apt. Nothing is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.source import ROOT

TOOLS = ("bash", "env", "sed", "rm", "mkdir", "dirname", "head", "tail", "mktemp", "cat", "cp", "chmod", "true")
PYTHON = """#!/usr/bin/env bash
# A Python of version VERSION: makes an environment with itself as its python and a uv beside it.
echo "$(basename "$0") $*" >>"$LOG"
case "$*" in
  *version_info*'<'*) exit OLD ;;
  *print*) echo VERSION ;;
  --version) echo "Python VERSION" ;;
  *"venv --without-pip"*) ;;
  *"-m venv"*|*ensurepip*) [[ -e "$STATE/venv" ]] || exit 1 ;;
  *"pip --version"*) [[ -e "$STATE/pip" ]] || exit 1 ;;
esac
if [[ "$*" == *"-m venv"* ]]; then
  mkdir -p .venv/bin
  cp "$0" .venv/bin/python
  printf '#!/usr/bin/env bash\\necho "uv $*" >>"$LOG"\\n' >.venv/bin/uv
  chmod 755 .venv/bin/uv
fi
"""
APT = """#!/usr/bin/env bash
echo "apt-get $*" >>"$LOG"
case "$*" in
  *update*) if [[ -e "$STATE/locked" ]]; then rm "$STATE/locked"; echo "E: Could not get lock"; exit 100; fi ;;
  *install*python3.12-venv*) : >"$STATE/venv" ;;
esac
"""


class Machine:
    """A checkout and a PATH on which there is only what a test puts there."""

    def __init__(self, root: Path) -> None:
        self.root, self.bin, self.state, self.log = root / "dure", root / "bin", root / "state", root / "log"
        for folder in (self.bin, self.state, self.root / "scripts"):
            folder.mkdir(parents=True)
        for name in ("install.sh", "servers.sh", "apt.sh"):
            shutil.copy(ROOT / "scripts" / name, self.root / "scripts" / name)
        (self.root / "bootstrap.lock").write_text("uv==0.99.0 \\\n")
        self.log.touch()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool) or tool)
        self.program("basename", '#!/usr/bin/env bash\necho "${1##*/}"\n')
        self.program("sleep", '#!/usr/bin/env bash\necho "sleep $*" >>"$LOG"\n')
        self.user(1_000)

    def program(self, name: str, text: str) -> None:
        """Put a program on the PATH."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def python(self, name: str, version: str = "3.12", *, old: bool = False) -> None:
        """Put a Python on the PATH."""
        self.program(name, PYTHON.replace("VERSION", version).replace("OLD", str(int(old))))

    def user(self, number: int) -> None:
        """Who runs the scripts."""
        self.program("id", f"#!/usr/bin/env bash\necho {number}\n")

    def has(self, *names: str) -> None:
        """What is so from the beginning: ``venv`` and ``pip`` are there, apt is ``locked``."""
        for name in names:
            (self.state / name).touch()

    def run(self, script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a script of the checkout; the log then tells which programs it called."""
        environment = {"PATH": str(self.bin), "LOG": str(self.log), "STATE": str(self.state), **env}
        command = [str(self.bin / "bash"), str(self.root / "scripts" / script), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    @property
    def calls(self) -> list[str]:
        """The calls of our own programs so far."""
        return self.log.read_text().splitlines()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("pythons", "arguments", "used"),
    [
        ({"python3": False}, (), "python3"),
        ({"python3.11": False}, (), "python3.11"),
        ({"python3": True, "python3.12": False, "python3.11": False}, (), "python3.12"),
        ({"python3": False, "python3.13": False}, ("python3.13",), "python3.13"),
    ],
    ids=["python3", "no python3", "python3 is old", "chosen"],
)
def test_the_first_python_that_is_new_enough(
    machine: Machine, pythons: dict[str, bool], arguments: tuple[str, ...], used: str
) -> None:
    machine.has("venv")
    for name, old in pythons.items():
        machine.python(name, old=old)
    done = machine.run("install.sh", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{used} -m venv .venv" in machine.calls
    assert (machine.root / ".venv" / "installed.stamp").read_text() == f"{machine.root}\n"


@pytest.mark.parametrize(
    ("old", "arguments", "says"),
    [
        ((), (), "'python3' is 'missing'"),
        (("python3",), (), "'python3' is 'Python 3.9'"),
        (("python3.10",), ("python3.10",), "'python3.10' is 'Python 3.9'"),
    ],
)
def test_no_python_is_a_sentence(machine: Machine, old: tuple[str, ...], arguments: tuple[str, ...], says: str) -> None:
    for name in old:
        machine.python(name, "3.9", old=True)
    done = machine.run("install.sh", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert says in done.stderr
    assert "make install PYTHON=" in done.stderr


@pytest.mark.parametrize("user", [0, 1_000], ids=["root", "sudo"])
def test_a_python_without_venv_gets_its_own_package(machine: Machine, user: int) -> None:
    machine.user(user)
    machine.has("locked")
    machine.python("python3.12")
    machine.program("apt-get", APT)
    if user:
        machine.program("sudo", '#!/usr/bin/env bash\necho "sudo $*" >>"$LOG"\nshift\nexec "$@"\n')
    done = machine.run("install.sh")
    assert (done.returncode, done.stderr) == (0, "")
    installs = [call for call in machine.calls if call.startswith("apt-get") and "install" in call]
    assert len(installs) == 1
    assert installs[0].endswith("python3.12-venv")
    assert "DPkg::Lock::Timeout=300" in installs[0]
    assert "sleep 5" in machine.calls, "whoever else updates the lists is waited for"
    assert any(call.startswith("sudo -n env") for call in machine.calls) is bool(user)


def test_a_pip_from_outside_does_where_nothing_may_be_installed(machine: Machine) -> None:
    machine.has("pip")
    machine.python("python3.12")
    done = machine.run("install.sh")
    assert (done.returncode, done.stderr) == (0, "")
    assert "python3.12 -m venv --without-pip .venv" in machine.calls
    bootstrap = "-m pip --python .venv/bin/python install --quiet --require-hashes -r bootstrap.lock"
    assert f"python3.12 {bootstrap}" in machine.calls


def test_what_to_install_is_said_for_the_right_version(machine: Machine) -> None:
    machine.python("python3.12")
    done = machine.run("install.sh")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("apt-get install python3.12-venv")
    assert not (machine.root / ".venv").exists()


def test_servers_are_installed_through_sudo_without_a_password(machine: Machine) -> None:
    machine.program("apt-get", APT)
    machine.program("sudo", '#!/usr/bin/env bash\ncat </dev/null\necho "sudo $*" >>"$LOG"\n')  # it does nothing more
    done = machine.run("servers.sh")
    assert done.returncode == 0
    (install,) = [call for call in machine.calls if " install " in call]
    assert install.startswith("sudo -n env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300")
    assert "prometheus" in install
    assert "prometheus is not installed" in done.stderr
    assert machine.run("servers.sh", CI="true").returncode == 1


def test_servers_are_only_named_where_nothing_may_be_installed(machine: Machine) -> None:
    machine.program("apt-get", APT)
    machine.program("sudo", "#!/usr/bin/env bash\nexit 1\n")
    done = machine.run("servers.sh")
    assert done.returncode == 0
    assert "apt-get install prometheus" in done.stderr
    assert machine.calls == []

"""A policy's text as far as the command line looks into it itself: can it be read, and which flavors.

What a policy means is decided elsewhere; here its places serve to point at them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from scheduler.cli.clean import shortened
from scheduler.cli.errors import Fault
from scheduler.cli.files import Joined
from scheduler.core.errors import Fatal, Finding
from scheduler.schema.bodies import PolicyBody
from scheduler.schema.report import POLICY_CODES, Report, listed, nearest
from scheduler.schema.yamlpos import Node, Scalar, Table, read_yaml

BAD_VALUE = "DURE-1008"
DOCUMENTS_MAX = 20


class PolicyText:
    """The documents of the files, with their places."""

    def __init__(self, files: Joined) -> None:
        """Read them; mistakes are kept and raised by ``require_readable``."""
        self._files = files
        self._report = Report(files.name, POLICY_CODES)
        self._roots = read_yaml(files.text, self._report, documents_max=DOCUMENTS_MAX)

    def require_readable(self) -> None:
        """Raise Fault with what makes the text no YAML, or more of it than is read."""
        if not self._report.clean:
            raise self.fault(self._report.findings())

    def require_flavors(self, names: Iterable[str]) -> None:
        """Raise Fatal for a flavor of ``--capacity`` that the policy does not have, where it can be read at all."""
        known = sorted(key.text for key, _ in self._entries("flavors"))
        for name in names:
            if known and name not in known:
                guess = nearest(name, known)
                fix = f"did you mean {guess}?" if guess else f"its flavors: {listed(known)}"
                raise Fatal(BAD_VALUE, f"--capacity {shortened(name)}: the policy has no such flavor", fix)

    def fault(self, findings: Iterable[Finding]) -> Fault:
        """The findings at their places in the files."""
        return Fault([self._files.locate(finding) for finding in findings], self._files.sources)

    def _entries(self, field: str) -> Iterator[tuple[Scalar, Node]]:
        for root in self._roots:
            yield from _entries_of(root, field)


class StoredText:
    """The text of a version, to point into as into a file; it is called as the server calls it in findings."""

    def __init__(self, body: PolicyBody) -> None:
        self.name = f"policy-{body.version}.yaml"
        self._text = body.text

    def fault(self, findings: Iterable[Finding]) -> Fault:
        """The findings at their places in the version's text."""
        return Fault(findings, {self.name: self._text})


def _entries_of(node: Node, field: str) -> Iterator[tuple[Scalar, Node]]:
    """The entries of a field that is a mapping."""
    for key, value in node.entries if isinstance(node, Table) else ():
        if key.text == field and isinstance(value, Table):
            yield from value.entries

"""The client's calls about the fairness report, which takes the server seconds to make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from scheduler.schema import bodies
from scheduler.schema.bodies import Body

B = TypeVar("B", bound=Body)
FAIRNESS = "/api/v1/fairness"


class Caller(Protocol):
    """What a client gives its calls."""

    def _slow_get(self, answer: type[B], path: str, params: Mapping[str, str | int]) -> B: ...

    def _slow_file(self, path: str, params: Mapping[str, str | int]) -> bytes: ...


class FairnessCalls:
    """The report in its three forms. ``asked``: view, period, since, until."""

    def fairness(self: Caller, asked: Mapping[str, str | int]) -> bodies.FairnessBody:
        """The fairness report."""
        return self._slow_get(bodies.FairnessBody, FAIRNESS, asked)

    def fairness_csv(self: Caller, asked: Mapping[str, str | int]) -> bytes:
        """The report as the server writes it in CSV."""
        return self._slow_file(f"{FAIRNESS}.csv", asked)

    def fairness_page(self: Caller, asked: Mapping[str, str | int], lang: str) -> bytes:
        """The report as a page; ``lang`` is ko or en."""
        return self._slow_file("/fairness", {**asked, "lang": lang})

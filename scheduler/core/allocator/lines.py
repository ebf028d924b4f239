"""The lines of pending jobs: by leaf and shape, each by submission. Kept up fact by fact, seen by a cycle as tuples."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import NamedTuple

from scheduler.core.model import PendingJob, Tier

_BY_SEQ = attrgetter("seq")


class Shape(NamedTuple):
    """What decides whether a gang can start: time limits differ inside a shape."""

    flavor: str
    nodes: int
    gpus_per_node: int
    tiers: tuple[Tier, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """Jobs of one leaf and shape, by sequence; never empty."""

    shape: Shape
    jobs: tuple[PendingJob, ...]


LeafLines = tuple[Line, ...]
"""All lines of a leaf, by the sequence of their first job."""


def shape_of(job: PendingJob) -> Shape:
    """The shape of a job's gang."""
    request = job.request
    return Shape(request.flavor, request.nodes, request.gpus_per_node, request.tiers)


def lines_of(jobs: Iterable[PendingJob]) -> Mapping[str, LeafLines]:
    """The lines of these jobs by leaf, made from nothing."""
    lines = Lines()
    for job in jobs:
        lines.add(job)
    return lines.view()


def with_jobs(lines: Mapping[str, LeafLines], jobs: Iterable[PendingJob]) -> Mapping[str, LeafLines]:
    """The lines with these jobs too, each at its place; the same mapping when there are none."""
    more: dict[str, list[PendingJob]] = {}
    for job in jobs:
        more.setdefault(job.leaf, []).append(job)
    for leaf, found in more.items():
        found += [job for line in lines.get(leaf, ()) for job in line.jobs]
    return {**lines, **{leaf: lines_of(found)[leaf] for leaf, found in more.items()}} if more else lines


class Lines:
    """Lines that change job by job; a view is made anew only for leaves that changed."""

    def __init__(self) -> None:
        self._jobs: dict[str, dict[Shape, list[PendingJob]]] = {}
        self._shapes: dict[Shape, Shape] = {}
        """One object per shape, so that a cycle compares identities where it looks shapes up."""
        self._view: dict[str, LeafLines] = {}
        self._changed: set[str] = set()

    def add(self, job: PendingJob) -> None:
        """Put a job at its place by sequence."""
        shape = shape_of(job)
        line = self._jobs.setdefault(job.leaf, {}).setdefault(self._shapes.setdefault(shape, shape), [])
        line.insert(bisect_left(line, job.seq, key=_BY_SEQ), job)
        self._changed.add(job.leaf)

    def remove(self, job: PendingJob) -> None:
        """Take a job out that was added."""
        shapes, shape = self._jobs[job.leaf], shape_of(job)
        line = shapes[shape]
        del line[bisect_left(line, job.seq, key=_BY_SEQ)]
        if not line:
            del shapes[shape]
        if not shapes:
            del self._jobs[job.leaf]
        self._changed.add(job.leaf)

    def view(self, also: Iterable[PendingJob] = ()) -> dict[str, LeafLines]:
        """All lines by leaf, with ``also`` added for this view only; the dictionary is the caller's."""
        for leaf in self._changed:
            self._view.pop(leaf, None)
            shapes = self._jobs.get(leaf)
            if shapes:
                self._view[leaf] = _by_first(shapes)
        self._changed.clear()
        view = dict(self._view)
        extra: dict[str, list[PendingJob]] = {}
        for job in also:
            extra.setdefault(job.leaf, []).append(job)
        for leaf, jobs in extra.items():
            view[leaf] = self._with(leaf, jobs)
        return view

    def _with(self, leaf: str, jobs: list[PendingJob]) -> LeafLines:
        shapes = {shape: list(line) for shape, line in self._jobs.get(leaf, {}).items()}
        for job in jobs:
            shapes.setdefault(shape_of(job), []).append(job)
        return _by_first({shape: sorted(line, key=_BY_SEQ) for shape, line in shapes.items()})


def _by_first(shapes: Mapping[Shape, list[PendingJob]]) -> LeafLines:
    lines = (Line(shape, tuple(jobs)) for shape, jobs in shapes.items())
    return tuple(sorted(lines, key=lambda line: line.jobs[0].seq))

"""Bodies of artifacts: what an operator lists, and what people see."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from scheduler.core.artifacts import FILES_MAX, LEFT_OUT_BYTES_MAX, LEFT_OUT_MAX, PATH_BYTES_MAX
from scheduler.schema.body_base import Answer, Body, Sent, Sha256

SIZE_MAX = 2**50
ArtifactPath = Annotated[str, StringConstraints(min_length=1, max_length=PATH_BYTES_MAX)]


class ArtifactFile(Sent):
    """A file that an attempt hands over."""

    path: ArtifactPath
    size: Annotated[int, Field(ge=0, le=SIZE_MAX)]
    sha256: Sha256


class ArtifactLeftOut(Sent):
    """A file that it does not hand over, and why."""

    path: ArtifactPath
    why: Annotated[str, StringConstraints(min_length=1, max_length=LEFT_OUT_BYTES_MAX)]


class ArtifactsRequest(Sent):
    """All artifacts of an attempt that is gone: listed once, then sent by their places in ``files``."""

    files: Annotated[list[ArtifactFile], Field(max_length=FILES_MAX)]
    left_out: Annotated[list[ArtifactLeftOut], Field(max_length=LEFT_OUT_MAX)] = Field(default=[])
    left_out_more: Annotated[int, Field(ge=0, le=SIZE_MAX)] = 0
    """How many more were left out than are named."""


class ArtifactsAck(Answer):
    """How many bytes the server has of each file that was listed."""

    kind: Literal["ArtifactsAck"] = "ArtifactsAck"
    sizes: list[int]


class ArtifactBody(Body):
    """A file that an attempt has handed over, or that was left out."""

    attempt: int
    number: int
    path: str
    size: int
    sha256: str = ""
    state: Literal["complete", "arriving", "left out"]
    why: str = ""
    """Why it was left out."""

"""Calls about artifacts: an operator's side, and the side of people who list and read them."""

from __future__ import annotations

from scheduler.client.address import segment
from scheduler.client.http import V1, Client, read
from scheduler.client.transport import Request
from scheduler.schema.bodies import ArtifactBody, ArtifactsAck, ArtifactsRequest, Listing, LogAck

OCTETS = "application/octet-stream"
CHUNK_BYTES = 1024 * 1024


def send_list(client: Client, cluster: str, job: str, attempt: int, request: ArtifactsRequest) -> ArtifactsAck:
    """All artifacts of an attempt; a repeat changes nothing. Returns how many bytes of each the server has."""
    path = f"{V1}/operator/{segment(cluster)}/artifacts/{segment(job)}/{attempt}"
    body = request.model_dump_json().encode()
    return read(ArtifactsAck, client.send(Request("POST", path, content=body, repeatable=True)).content)


def send_part(client: Client, cluster: str, job: str, attempt: int, number: int, offset: int, content: bytes) -> LogAck:
    """Append to a listed file at ``offset``; the answer says what length the server has."""
    path = f"{V1}/operator/{segment(cluster)}/artifacts/{segment(job)}/{attempt}/{number}"
    request = Request("POST", path, {"offset": offset}, content, content_type=OCTETS)
    return read(LogAck, client.send(request).content)


def list_artifacts(client: Client, job: str, attempt: int = 0) -> Listing[ArtifactBody]:
    """What an attempt of a job has handed over; 0: the newest ten attempts."""
    reply = client.send(Request("GET", f"{V1}/jobs/{segment(job)}/artifacts", {"attempt": attempt}, repeatable=True))
    return read(Listing[ArtifactBody], reply.content)


def read_part(client: Client, job: str, attempt: int, number: int, offset: int) -> bytes:
    """Up to 1 MiB of an artifact from ``offset``."""
    path = f"{V1}/jobs/{segment(job)}/artifacts/{attempt}/{number}"
    params = {"offset": offset, "limit": CHUNK_BYTES}
    return client.send(Request("GET", path, params, repeatable=True)).content

"""
Reading the keys that hooks name: from a folder, or from Secrets by the API server.

``doors`` asks. What was read is remembered for half a minute, so a new key counts after that at the latest. A value
leaves this package in no form: it is in no log, no message and no exception.
"""

import asyncio
import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final, Protocol

import orjson

from ordinaut_api.identity.authority import AuthorityAway
from ordinaut_api.identity.cluster import Cluster
from ordinaut_api.identity.remembered import Answer, Remembered

GOOD_SECONDS: Final = 30.0
BAD_SECONDS: Final = 5.0
"""How long it is taken for true that a key can't be read."""

MAX_SIZE: Final = 4096
"""Bytes of a key as it stands in a Secret; those of senders have some dozens."""

_NO_SOURCE: Final = (
    "this api reads no Secrets: set ORDINAUT_SECRETS_DIR to a folder with them, or let the API server vouch for callers"
)


@dataclass(frozen=True, slots=True, order=True)
class Reference:
    """Where a key stands."""

    namespace: str
    name: str
    key: str

    def __str__(self) -> str:
        return f"key {self.key} of Secret {self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Read:
    """The text of a key, or None and why it can't be read with what to do about it."""

    text: str | None = field(repr=False)
    why: str = ""

    def __bool__(self) -> bool:
        return self.text is not None


class Source(Protocol):
    """Where Secrets are."""

    async def read(self, reference: Reference) -> Read:
        """Return a key; raises :class:`AuthorityAway` where nobody can tell."""


class Nowhere:
    """Where there are no Secrets to be read."""

    async def read(self, reference: Reference) -> Read:  # noqa: ARG002 - part of the protocol
        """Say so."""
        return Read(None, _NO_SOURCE)


class Folder:
    """A folder with the Secrets as they are mounted in pods: NAMESPACE/NAME/KEY."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def read(self, reference: Reference) -> Read:
        """Return what a file holds."""
        path = self._path / reference.namespace / reference.name / reference.key
        try:
            return _text(await asyncio.to_thread(_beginning, path))
        except OSError as error:
            return Read(
                None, f"the file {path} can't be read ({error.strerror}): write it, or set ORDINAUT_SECRETS_DIR"
            )


class ClusterSecrets:
    """Secrets of the cluster; by default the api has no right to read any."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def read(self, reference: Reference) -> Read:
        """Ask the API server."""
        path = f"/api/v1/namespaces/{reference.namespace}/secrets/{reference.name}"
        status, body = await self._cluster.get(path)
        if status == HTTPStatus.FORBIDDEN:
            return Read(
                None,
                f"the api may not read it: bind a Role with get on secrets, resourceNames [{reference.name}], in"
                f" namespace {reference.namespace} to the service account of the api",
            )
        if status == HTTPStatus.NOT_FOUND:
            return Read(None, "there is no such Secret: make it")
        if status != HTTPStatus.OK:
            return Read(None, f"the API server answers with status {status}")
        return _value(body, reference.key)


class Secrets:
    """Keys by where they stand. ``clock`` counts seconds."""

    def __init__(self, source: Source, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._remembered: Remembered[Reference, Read] = Remembered(clock=clock)

    async def get(self, reference: Reference) -> Read:
        """Return a key."""

        async def ask() -> Answer[Read]:
            found = await self._source.read(reference)
            return Answer(found, GOOD_SECONDS if found else BAD_SECONDS)

        try:
            return await self._remembered.get(reference, ask)
        except AuthorityAway as away:
            return Read(None, str(away))

    async def close(self) -> None:
        """End what is being read."""
        await self._remembered.close()


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_SIZE + 1)


def _value(body: bytes, key: str) -> Read:
    """Return a key of a Secret as the API server gives it out; no error may repeat any of it."""
    try:
        data = orjson.loads(body).get("data") or {}
        if key not in data:
            return Read(None, "the Secret has no such key: add it")
        return _text(base64.b64decode(data[key]))
    except (ValueError, TypeError, AttributeError):
        return Read(None, "something else answers in place of the API server")


def _text(value: bytes) -> Read:
    if len(value) > MAX_SIZE:
        return Read(None, f"it has more than {MAX_SIZE} bytes: write the key alone")
    try:
        # Editors and `base64` leave a line break behind, and no key ends with one.
        return Read(value.decode().rstrip("\r\n"))
    except UnicodeDecodeError:
        return Read(None, "it is not text: write the key as its sender shows it")

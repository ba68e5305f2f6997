"""
An api with identities for tests: two tenants, a token for each role, and one that nobody has given anything.

The application runs over a fresh database, called without a socket; tests of what only sockets show start the real
process with the same access file.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx2
import yaml
from fastapi import FastAPI

from ordinaut.access import grants
from ordinaut.access.caller import Authority
from ordinaut.access.rights import Role
from ordinaut_api.app import create_app
from ordinaut_api.settings import ApiSettings

OURS: Final = "team-a"
THEIRS: Final = "team-b"

BINDINGS: Final[Mapping[str, tuple[Role, str] | None]] = {
    **{f"{role}-a": (role, OURS) for role in Role},
    "admin-b": (Role.ADMIN, THEIRS),
    "nobody": None,
}
"""Who there is, and what each may be in which namespace."""

PATIENT: Final[Mapping[str, Any]] = {"rate_limit": 0, "rate_limit_failures": 0}
"""Settings with which nobody meets a rate limit: tests of other things send thousands of requests at once."""


@dataclass(frozen=True)
class Access:
    """An access file, and the tokens whose hashes it holds."""

    path: Path
    tokens: Mapping[str, str]

    def headers(self, who: str) -> dict[str, str]:
        """Return what identifies somebody."""
        return {"Authorization": f"Bearer {self.tokens[who]}"}

    @property
    def environment(self) -> dict[str, object]:
        """What a process is told to take these tokens."""
        return {"authentication": "tokens", "access_file": self.path, **PATIENT}


def write_access(path: Path, tokens: Mapping[str, str] | None = None) -> Access:
    """Write an access file for all of :data:`BINDINGS`; ``tokens`` are made up unless they are given."""
    tokens = tokens or {who: grants.new_token().token for who in BINDINGS}
    entries = [
        {
            "name": who,
            "sha256": hashlib.sha256(tokens[who].encode()).hexdigest(),
            "bindings": [{"role": bound[0].value, "namespaces": [bound[1]]}] if bound else [],
        }
        for who, bound in BINDINGS.items()
    ]
    path.write_text(yaml.safe_dump({"tokens": entries}))
    return Access(path, tokens)


@dataclass(frozen=True)
class Api:
    """The running application, to be called as anybody."""

    app: FastAPI
    client: httpx2.AsyncClient
    access: Access

    async def call(self, who: str | None, method: str, path: str, **more: Any) -> httpx2.Response:
        """Send a request as somebody; None sends no token."""
        headers = {**(self.access.headers(who) if who else {}), **more.pop("headers", {})}
        return await self.client.request(method, path, headers=headers, **more)


@asynccontextmanager
async def serving(database: str, access: Access, **settings: Any) -> AsyncIterator[Api]:
    """Run the application; yields what calls it."""
    chosen = {"authentication": (Authority.TOKENS,), "access_file": access.path, **PATIENT, **settings}
    app = create_app(ApiSettings(database_url=database, **chosen))
    client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://ordinaut.example")
    async with app.router.lifespan_context(app), client:
        yield Api(app, client, access)


def path_of(collection: str, *parts: str, namespace: str = OURS) -> str:
    """Return a path in a namespace."""
    return "/".join([f"/v1/namespaces/{namespace}", collection, *parts])

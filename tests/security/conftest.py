"""Fixtures of the tests in which somebody means harm."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.running import Processes
from tests.security import tenants
from tests.security.sockets import Served, serve
from tests.security.tenants import Access, Api


@pytest.fixture
def access(tmp_path: Path) -> Access:
    """An access file with a token for everybody."""
    return tenants.write_access(tmp_path / "access.yaml")


@pytest.fixture
async def api(database: str, access: Access) -> AsyncIterator[Api]:
    """The application over a fresh database."""
    async with tenants.serving(database, access) as served:
        yield served


@pytest.fixture
def served(processes: Processes, access: Access) -> Served:
    """The real api process, for what only a socket shows."""
    return serve(processes, access)


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have streams of this process end at once: these tests send all that can be sent, and await whole answers."""
    monkeypatch.setattr("ordinaut_api.streams.MAX_FOLLOWED", 0.05)
    monkeypatch.setattr("ordinaut_api.streams.HEARTBEAT", 0.02)

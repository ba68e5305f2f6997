"""Fixtures that several kinds of tests share: real servers, a fresh database, an empty Valkey."""

import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import hypothesis
import pytest
import redis
import structlog
from _pytest.nodeid import NodeId

from ordinaut.store.pool import Pool, open_pool
from tests import running, servers
from tests.cluster import needed
from tests.running import Processes
from tests.servers import StoppablePostgres
from tests.toolserver import ToolServer

# A developer's own settings must not reach the code under test.
for _name in [name for name in os.environ if name.startswith("ORDINAUT_") and not name.startswith("ORDINAUT_TEST_")]:
    del os.environ[_name]
for _name in ("DATABASE_URL", "REDIS_URL", "PGHOST", "PGPORT", "PGUSER", "PGPASSWORD", "PGDATABASE", "PGSSLMODE"):
    os.environ.pop(_name, None)
# Processes are started by the hundred: without bytecode each of them compiles the whole tree first.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A shell's `&` has what it starts ignore Ctrl-C, and so would the commands that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes says who else uses the machine, not what is wrong.
hypothesis.settings.register_profile(
    "any-load", hypothesis.settings(), deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any-load")

# The default renders exceptions with all their locals, which takes seconds on a busy machine.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.LogfmtRenderer(),
    ]
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Say in its id which group a test belongs to, which is how a worker of ``--dist loadgroup`` tells the scheduler.

    pytest-xdist 3.8 writes it where pytest 9.2 no longer looks, so that no group stayed on one worker.
    """
    if not config.getoption("loadgroup", False):
        return
    for item in items:
        marker = item.get_closest_marker("xdist_group")
        if marker is not None and not item.nodeid.endswith(suffix := f"@{marker.args[0]}"):
            item._id = NodeId.parse(item.nodeid + suffix)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Get the programs that the collected tests need."""
    if not session.config.option.collectonly:
        needed.fetch({name for item in session.items for name in getattr(item, "fixturenames", ())})


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a running PostgreSQL server."""
    with servers.postgres() as url:
        yield url


@pytest.fixture(scope="session")
def database_template(postgres_url: str) -> str:
    """The name of a migrated database to clone."""
    return servers.create_template(postgres_url)


@pytest.fixture
def database(postgres_url: str, database_template: str) -> Iterator[str]:
    """The URL of a fresh migrated database."""
    with servers.database(postgres_url, template=database_template) as url:
        yield url


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Pool]:
    """An open pool to a fresh migrated database."""
    async with open_pool(database, application="test", size=8) as opened:
        await opened.wait()
        yield opened


@pytest.fixture
def own_postgres() -> Iterator[StoppablePostgres]:
    """A durable PostgreSQL of the test's own, with a migrated database, to be stopped and started again."""
    server = StoppablePostgres()
    yield server
    server.close()


@pytest.fixture
def early_in_a_minute() -> None:
    """Begin the test where no minute, and so no day, begins while it counts them."""
    running.until(lambda: time.time() % 60 < 57, what="the next minute")


@pytest.fixture
def patient_api(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let requests of the application in this process wait for a connection as long as a busy machine needs."""
    monkeypatch.setattr("ordinaut_api.backend.CONNECTION_TIMEOUT", 60)


@pytest.fixture(scope="session")
def _valkey_server() -> Iterator[str]:
    with servers.valkey() as url:
        yield url


@pytest.fixture
def valkey(_valkey_server: str) -> str:
    """The URL of an empty Valkey."""
    with redis.Redis.from_url(_valkey_server) as client:
        client.flushall()
    return _valkey_server


@pytest.fixture(scope="session")
def _oldest_redis_server() -> Iterator[str]:
    with servers.oldest_redis() as url:
        yield url


@pytest.fixture(params=["current", "oldest"])
def any_redis(request: pytest.FixtureRequest) -> str:
    """The URL of an empty server: the Valkey of the other tests, and the oldest Redis that is supported."""
    if request.param == "current":
        return str(request.getfixturevalue("valkey"))
    url = str(request.getfixturevalue("_oldest_redis_server"))
    with redis.Redis.from_url(url) as client:
        client.flushall()
    return url


@pytest.fixture
def processes(request: pytest.FixtureRequest, database: str, valkey: str) -> Iterator[Processes]:
    """A starter of Ordinaut's processes on a fresh database; shows their logs when the test fails."""
    with running.processes(database=database, redis=valkey) as started:
        yield started
        report = getattr(request.node, "call_report", None)
        if report is not None and report.failed:
            print(started.logs())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Keep the outcome of a test where its fixtures find it."""
    outcome: Any = yield
    report = outcome.get_result()
    if report.when == "call":
        item.call_report = report  # type: ignore[attr-defined]


@pytest.fixture
def toolserver() -> Iterator[ToolServer]:
    """A server of tools whose answers the test decides, and which remembers every call."""
    with ToolServer() as server:
        yield server

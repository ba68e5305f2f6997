"""
F4 and F5: PostgreSQL crashes and comes back, and its connections are cut one by one.

No confirmed run is lost, no process ends by itself, and work goes on as soon as the database is there.
"""

import time

import psycopg
import pytest

from tests.faults.conftest import Tell
from tests.faults.counts import choices, count, seconds
from tests.faults.scene import Scene, moment
from tests.servers import StoppablePostgres
from tests.timing import at_most

CRASHES = count("F4")
CUTS = count("F5")
WORKERS = 2


@pytest.mark.timeout(seconds("F4"))
async def test_postgresql_crashes_and_nothing_that_was_confirmed_is_lost(
    durable_scene: Scene, own_postgres: StoppablePostgres, tell: Tell
) -> None:
    scene, chance = durable_scene, choices("F4")
    started = [scene.operator(recovery_seconds=1), *(scene.worker() for _ in range(WORKERS))]
    slowest = 0.0
    async with scene.load():
        for _ in range(CRASHES):
            await scene.ready(at_least=WORKERS)
            await moment(chance, 0.1, 1)
            chance.choice([own_postgres.stop, own_postgres.kill])()
            await moment(chance, 0, 1)
            own_postgres.start()
            back = time.monotonic()
            ended = scene.ledger.one("SELECT count(*) FROM witness.ending")
            await scene.until(
                lambda ended=ended: scene.ledger.one("SELECT count(*) FROM witness.ending") > ended,  # type: ignore[misc]
                what="a run to end",
            )
            slowest = max(slowest, time.monotonic() - back)
    await scene.over()

    figures = scene.check()

    assert [one.process.poll() for one in started] == [None] * len(started)
    assert slowest < at_most(10)
    tell("F4", figures, faults=CRASHES)


@pytest.mark.timeout(seconds("F5"))
async def test_cut_connections_lose_nothing_and_commit_nothing_twice(scene: Scene, database: str, tell: Tell) -> None:
    chance = choices("F5")
    started = [scene.operator(recovery_seconds=1), *(scene.worker() for _ in range(WORKERS))]
    await scene.ready(at_least=WORKERS)
    cut = 0
    async with scene.load():
        with psycopg.connect(database, autocommit=True, application_name="cutter") as connection:
            while cut < CUTS:
                await moment(chance, 0.01, 0.1)
                rows = connection.execute(
                    "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                    " AND application_name LIKE 'ordinaut-%' AND application_name <> 'ordinaut-test'"
                ).fetchall()
                if rows:
                    connection.execute("SELECT pg_terminate_backend(%s)", chance.choice(rows))
                    cut += 1
    await scene.over()

    figures = scene.check()

    assert [one.process.poll() for one in started] == [None] * len(started)
    tell("F5", figures, faults=CUTS)

"""From a release to the next and back while work is under way: nothing is lost, and nothing happens twice."""

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import httpx2
import psycopg
import pytest

from ordinaut.store.pool import open_pool
from tests.chart import nextversion
from tests.chart.conftest import IMAGE, TREE, Releases
from tests.chart.ledger import Ledger
from tests.chart.nextversion import VERSION, NextVersion
from tests.chart.release import NAMESPACE, Release
from tests.chart.users import Users, working
from tests.cluster.kubelet.node import Node
from tests.declaring import run_now
from tests.running import until
from tests.toolserver import Answer, Effect, ToolServer

pytestmark = [pytest.mark.cluster, pytest.mark.xdist_group("chart"), pytest.mark.timeout(300)]

STEPS = ["one", "two", "three"]
TASKS = [f"t{number}" for number in range(5)]
NEXT = {"image": {"tag": VERSION}}

STEP_SECONDS = 0.1
"""Long enough that some step is under way whenever a process is stopped."""


@pytest.fixture(scope="module")
def following(node: Node, tmp_path_factory: pytest.TempPathFactory) -> NextVersion:
    """The next release, whose image can be pulled."""
    made = nextversion.make(TREE, tmp_path_factory.mktemp("next") / "tree")
    node.images.add(f"{IMAGE.rpartition(':')[0]}:{VERSION}", made.tree)
    return made


def slowly(effect: Effect) -> Answer:
    """Answer what was asked after a moment in which the caller may be told to stop."""
    time.sleep(STEP_SECONDS)
    return Answer(effect.input)


@contextlib.contextmanager
def runs_by_hand(release: Release, users: Users, task: str) -> Iterator[None]:
    """Run a task by hand again and again while the context lasts, so that work is under way at any moment."""
    enough = threading.Event()

    async def work() -> None:
        async with open_pool(release.database, application="test", size=1) as pool:
            while not enough.is_set():
                await run_now(pool, namespace=users.namespace, name=task)
                await asyncio.sleep(0.1)

    thread = threading.Thread(target=lambda: asyncio.run(work()))
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


def versions(release: Release) -> set[str]:
    """Return the versions that the pods of the release say they are."""
    lines = [line for pod in release.pods(of_jobs=False) for line in release.log(pod).splitlines()]
    return {json.loads(line)["version"] for line in lines if '"event": "started"' in line}


def reasons(pod: dict[str, Any]) -> dict[str, str]:
    """Return why a pod is not ready, from its own probe."""
    answer = httpx2.get(f"http://{pod['status']['podIP']}:9090/readyz", trust_env=False, timeout=10)
    return dict(answer.json().get("reasons", {}))


def exits(release: Release, pods: Sequence[dict[str, Any]]) -> list[tuple[int, bool]]:
    return [(one.exit_code, one.killed) for pod in pods for one in release.left(pod)]


def restarted(release: Release) -> int:
    statuses = [pod["status"].get("containerStatuses", []) for pod in release.pods(of_jobs=False)]
    return sum(one["restartCount"] for found in statuses for one in found)


def test_the_next_release_and_the_way_back_lose_nothing(
    releases: Releases, users: Users, toolserver: ToolServer, following: NextVersion
) -> None:
    toolserver.answers = dict.fromkeys(STEPS, slowly)
    with releases("helm4") as release:
        ledger = Ledger(release.database)
        release.install()
        users.apply(*working(STEPS, tools=toolserver.url, tasks=TASKS))
        until(lambda: all(users.ready("Task", name) for name in TASKS), what="the tasks to be ready")
        with runs_by_hand(release, users, TASKS[0]):
            until(lambda: len(toolserver.calls("three")) > 1, what="work to be under way")
            old = release.pods(of_jobs=False)
            release.upgrade(NEXT)
            assert set(exits(release, old)) == {(0, False)}
            assert versions(release) == {VERSION}
            assert ledger.one("SELECT max(version) FROM schema_migration") == following.number
            done = len(toolserver.calls("three"))
            until(lambda: len(toolserver.calls("three")) > done, what="the new pods to work")

            new = release.pods(of_jobs=False)
            release.upgrade({"crds": {"enabled": False}})  # as docs/upgrade.md says
            assert users.ready("Task", TASKS[0])
            assert set(exits(release, new)) == {(0, False)}
            assert versions(release) == {"0.1.0"}
            done = len(toolserver.calls("three"))
            until(lambda: len(toolserver.calls("three")) > done, what="the old pods to work with the new schema")

        users.suspend(*TASKS)
        until(lambda: not ledger.unfinished(), what="all runs to end")
        until(lambda: ledger.one("SELECT count(*) FROM outbox") == 0, what="all events to be sent")
        assert restarted(release) == 0
        runs = ledger.check(steps=STEPS, every=timedelta(seconds=10), effects=toolserver.effects, once=True)
        print(f"{runs} runs")


def test_new_pods_wait_for_their_schema_and_a_migration_that_was_killed_is_done_again(
    releases: Releases, users: Users, toolserver: ToolServer, following: NextVersion
) -> None:
    with releases("helm4") as release:
        ledger = Ledger(release.database)
        release.install({"api": {"enabled": False}})
        users.apply(*working(["one"], tools=toolserver.url, tasks=["t"]))
        until(lambda: toolserver.calls("one"), what="a run")
        old = release.pods(of_jobs=False)

        values = {"api": {"enabled": False}, **NEXT}
        release.upgrade({**values, "migrations": {"mode": "none"}}, wait=False)

        def new() -> list[dict[str, Any]]:
            names = {pod["metadata"]["name"] for pod in old}
            found = [pod for pod in release.pods(of_jobs=False) if pod["metadata"]["name"] not in names]
            return [pod for pod in found if pod["status"].get("containerStatuses", [{}])[0].get("started")]

        until(lambda: len(new()) == 2, what="the new pods to start")
        lacking = {"database": f"the database lacks migration {following.migration}; run `ordinaut migrate`"}

        def said() -> list[str]:
            return [reasons(pod).get("database", "") for pod in new()]

        until(lambda: said() == [lacking["database"]] * 2, what=lambda: f"the reason; said: {said()}")
        done = len(toolserver.calls("one"))
        until(lambda: len(toolserver.calls("one")) > done, what="the old pods to go on")

        # Somebody reads for long: the migration waits for its lock, in the middle of its transaction.
        with psycopg.connect(release.database) as reader:
            reader.execute("SELECT count(*) FROM ordinaut.outbox")
            migrating = threading.Thread(target=release.upgrade, args=(values,))
            migrating.start()
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%outbox%%'"
            until(lambda: ledger.one(f"{waiting} AND datname = current_database()"), what="the migration to wait")
            release.node.crash(NAMESPACE, release.pods("migrate")[-1]["metadata"]["name"])
        migrating.join()
        assert ledger.one("SELECT max(version) FROM schema_migration") == following.number
        until(lambda: versions(release) == {VERSION}, what="the old pods to be gone")
        assert restarted(release) == 0
        done = len(toolserver.calls("one"))
        until(lambda: len(toolserver.calls("one")) > done, what="the new pods to work")
        users.suspend("t")
        until(lambda: not ledger.unfinished(), what="all runs to end")
        ledger.check(steps=["one"], every=timedelta(seconds=10), effects=toolserver.effects, once=True)

"""When what the API server gives out is to be relied on."""

import asyncio
from typing import Any

import pytest

from ordinaut.probes import Readiness
from ordinaut.resources.manifest import API_VERSION
from ordinaut_operator.definitions import NEED, Definitions, DefinitionsMissing, DefinitionsOutdated
from ordinaut_operator.kube import Refused, Unavailable
from tests.unit.resources.test_served import fields, openapi


class Published:
    """An API server, as far as it publishes a schema."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = openapi()
        self.version = 1
        self.error: Exception | None = None
        self.asked = 0
        self.sent = 0

    def change(self, *, without: str | None = None, extra: str | None = None) -> None:
        self.document = openapi()
        self.version += 1
        if without:
            del fields(self.document, "Task")[without]
        if extra:
            fields(self.document, "Task")[extra] = {"type": "string"}

    async def published(self, path: str, *, known: str | None = None) -> tuple[str, Any] | None:
        assert path == f"/openapi/v3/apis/{API_VERSION}"
        self.asked += 1
        if self.error is not None:
            raise self.error
        if known == str(self.version):
            return None
        self.sent += 1
        return str(self.version), self.document


class Seconds:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def server() -> Published:
    return Published()


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
def known(server: Published, readiness: Readiness, seconds: Seconds) -> Definitions:
    return Definitions(kube=server, readiness=readiness, clock=seconds)  # type: ignore[arg-type]


async def test_nothing_is_whole_before_everything_was_read(known: Definitions, readiness: Readiness) -> None:
    assert not readiness.ready
    assert not await known.whole()

    known.trust(await known.check())

    assert await known.whole()
    assert readiness.ready


async def test_older_definitions_are_told_and_nothing_is_whole_until_all_is_read_anew(
    known: Definitions, server: Published, readiness: Readiness, seconds: Seconds
) -> None:
    known.trust(await known.check())
    server.change(without="priority")
    seconds.now += 2

    assert not await known.whole()
    assert "tasks.ordinaut.io lacks spec.priority; upgrade the chart" in readiness.reasons[NEED]
    with pytest.raises(DefinitionsOutdated):
        await known.check()

    server.change()
    seconds.now += 2
    assert not await known.whole()
    known.trust(await known.check())
    assert await known.whole()
    assert readiness.ready


async def test_a_definition_that_was_older_between_two_looks_is_noticed_by_what_is_different_now(
    known: Definitions, server: Published, seconds: Seconds
) -> None:
    known.trust(await known.check())
    server.change(extra="flavour")
    seconds.now += 2

    assert not await known.whole()


async def test_the_same_schema_under_another_tag_is_no_change(
    known: Definitions, server: Published, seconds: Seconds
) -> None:
    known.trust(await known.check())
    server.change()
    seconds.now += 2

    assert await known.whole()


async def test_other_words_and_checks_are_no_change(known: Definitions, server: Published, seconds: Seconds) -> None:
    known.trust(await known.check())
    server.change()
    fields(server.document, "Task")["priority"] |= {"description": "Said better.", "maximum": 7}
    fields(server.document, "Task")["schedules"]["items"]["required"] = ["cron"]
    seconds.now += 2

    assert await known.whole()
    assert server.sent == 2


async def test_an_answer_counts_for_a_second_and_the_schema_is_sent_once(
    known: Definitions, server: Published, seconds: Seconds
) -> None:
    known.trust(await known.check())
    for _ in range(5):
        await known.whole()
    assert server.asked == 2

    seconds.now += 2
    await known.whole()
    assert (server.asked, server.sent) == (3, 1)


async def test_while_the_api_server_is_away_the_last_answer_counts(
    known: Definitions, server: Published, seconds: Seconds
) -> None:
    known.trust(await known.check())
    server.error = Unavailable("away")
    seconds.now += 2

    assert await known.whole()


async def test_definitions_that_are_gone_are_told_and_what_was_read_was_whole(
    known: Definitions, server: Published, readiness: Readiness, seconds: Seconds
) -> None:
    known.trust(await known.check())
    server.error = Refused("404 not found", status=404)
    seconds.now += 2

    assert await known.whole()
    assert readiness.reasons[NEED] == (
        "the API server has no hooks, pipelines, tasks, tools of ordinaut.io/v1alpha1; apply the files in crds/"
    )


async def test_one_definition_that_is_missing_is_told(
    known: Definitions, server: Published, readiness: Readiness
) -> None:
    del server.document["components"]["schemas"]["io.ordinaut.v1alpha1.Tool"]

    with pytest.raises(DefinitionsMissing, match="has no tools of"):
        await known.check()
    assert not readiness.ready


async def test_a_schema_that_may_not_be_read_is_told(
    known: Definitions, server: Published, readiness: Readiness
) -> None:
    server.error = Refused("403 forbidden", status=403)

    assert not await known.whole()
    assert "does not show its schema: 403 forbidden; the ClusterRole system:discovery" in readiness.reasons[NEED]


async def test_whoever_waits_goes_on_when_all_was_read(known: Definitions) -> None:
    waiting = asyncio.create_task(known.until_whole())
    await asyncio.sleep(0)
    assert not waiting.done()

    known.trust(await known.check())

    await asyncio.wait_for(waiting, 60)


async def test_everything_is_asked_to_be_read_anew_until_it_was(known: Definitions) -> None:
    asked = asyncio.Event()
    looking = asyncio.create_task(known.run(read_anew=asked.set))

    await asyncio.wait_for(asked.wait(), 60)

    looking.cancel()

"""The Python client against a running api, with tokens: what an agent does all day, and what it is refused."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from ordinaut import shapes
from ordinaut.access import grants
from ordinaut.access.rights import Role
from ordinaut.client import (
    Client,
    Conflict,
    Forbidden,
    Invalid,
    KeyReused,
    NotFound,
    PreconditionFailed,
    Retries,
    Unauthenticated,
)
from ordinaut.states import RunPhase, StepPhase, Trigger
from tests.cluster.processes import free_port
from tests.declaring import manifest
from tests.running import Processes, processes

pytestmark = pytest.mark.integration

NAMESPACE = "team-a"
HELLO: dict[str, Any] = {"id": "greet", "uses": "std.log", "with": {"message": "hello ${params.who || 'you'}"}}
FAIL: dict[str, Any] = {"id": "break", "uses": "std.fail", "with": {"message": "no luck"}}


def task(name: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    return manifest(
        "Task", name, {**({"pipeline": {"steps": list(steps)}} if steps else {}), **more}, namespace=NAMESPACE
    )


@dataclass(frozen=True)
class Served:
    """A running api, and the tokens of those that it knows."""

    url: str
    tokens: dict[Role, str]
    access_file: Path
    processes: Processes

    def client(self, role: Role = Role.EDITOR, **more: Any) -> Client:
        return Client(self.url, **{"token": self.tokens[role], "namespace": NAMESPACE, **more})


@pytest.fixture
def served(database: str, valkey: str, tmp_path: Path) -> Iterator[Served]:
    made = {role: grants.new_token() for role in Role}
    entries = [
        {"name": role.value, "sha256": one.sha256, "bindings": [{"role": role.value, "namespaces": ["team-a"]}]}
        for role, one in made.items()
    ]
    file = tmp_path / "access.yaml"
    file.write_text(yaml.safe_dump({"tokens": entries}))
    port = free_port()
    with processes(database=database, redis=valkey) as started:
        started.start("api", api_port=port, authentication="tokens", access_file=file)
        tokens = {role: one.token for role, one in made.items()}
        yield Served(f"http://127.0.0.1:{port}", tokens, file, started)


async def test_an_agent_declares_changes_and_deletes_what_it_needs(served: Served) -> None:
    async with served.client() as ordinaut:
        await ordinaut.tools.put(
            manifest("Tool", "calendar", {"http": {"url": "http://127.0.0.1:9"}}, namespace=NAMESPACE)
        )
        await ordinaut.pipelines.create(manifest("Pipeline", "hello", {"steps": [HELLO]}, namespace=NAMESPACE))
        made = await ordinaut.tasks.create(task("hello", pipelineRef={"name": "hello"}))
        assert isinstance(made, shapes.Task)
        assert made.status.creator == "editor"
        with pytest.raises(Conflict, match="hello"):
            await ordinaut.tasks.create(task("hello", HELLO))

        read = await ordinaut.tasks.get("hello")
        changed = await ordinaut.tasks.patch("hello", {"spec": {"priority": 7}}, if_match=read)
        assert changed.spec["priority"] == 7
        for stale in (read, f'"{read.metadata.uid}.{read.metadata.resource_version}"'):
            with pytest.raises(PreconditionFailed):
                await ordinaut.tasks.put(task("hello", HELLO), if_match=stale)
        with pytest.raises(PreconditionFailed):
            await ordinaut.tasks.delete("hello", if_match=read)

        await ordinaut.tasks.delete("hello", if_match=changed)
        with pytest.raises(NotFound):
            await ordinaut.tasks.get("hello")
        assert [one.metadata.name async for one in ordinaut.pipelines.list()] == ["hello"]
        assert [one.metadata.name async for one in ordinaut.tools.list()] == ["calendar"]


async def test_a_mistake_is_told_with_field_value_and_remedy(served: Served) -> None:
    wrong = task("hello", HELLO, priority=10)
    async with served.client() as ordinaut:
        with pytest.raises(Invalid) as refused:
            await ordinaut.tasks.put(wrong)
        (mistake,) = refused.value.errors
        assert (mistake["field"], mistake["pointer"], mistake["value"]) == ("spec.priority", "#/spec/priority", 10)
        assert str(refused.value.errors[0]["detail"]).startswith("spec.priority: Invalid value: 10: ")
        with pytest.raises(Invalid) as batch:
            await ordinaut.tasks.create_many([task("good", HELLO), wrong])
        assert batch.value.errors[0]["field"] == "items[1].spec.priority"
        assert [one async for one in ordinaut.tasks.list()] == []


async def test_hundreds_of_tasks_are_made_at_once_and_listed_page_by_page(served: Served) -> None:
    names = [f"task-{number:04}" for number in range(700)]
    async with served.client() as ordinaut:
        made = await ordinaut.tasks.create_many([task(name, HELLO) for name in names])
        assert [one.name for one in made.items] == names
        assert [one.metadata.name async for one in ordinaut.tasks.list()] == names
        assert [one.metadata.name async for one in ordinaut.tasks.list(limit=3)] == names[:3]
        assert (await ordinaut.quota()).used.tasks == 700


async def test_a_run_is_followed_waited_for_and_tried_again(served: Served) -> None:
    async with served.client() as ordinaut:
        await ordinaut.tasks.put(task("unlucky", HELLO, FAIL))
        made = await ordinaut.tasks.run("unlucky", params={"who": "Ana"})
        assert made.status.phase is RunPhase.PENDING
        with pytest.raises(TimeoutError, match="still Pending"):
            await ordinaut.runs.wait(made.metadata.name, timeout=0.2)

        waiting = asyncio.create_task(ordinaut.runs.wait(made.metadata.name, timeout=60))
        following = asyncio.create_task(_all(ordinaut.runs.follow(made.metadata.name)))
        served.processes.start("worker")
        over, seen = await waiting, await following
        assert over.status.phase is RunPhase.FAILED
        assert [one.status.phase for one in seen][-1] is RunPhase.FAILED
        assert seen[-1].status.steps is not None
        assert [step.phase for step in seen[-1].status.steps] == [StepPhase.SUCCEEDED, StepPhase.FAILED]

        again = await ordinaut.runs.retry(made.metadata.name)
        assert (again.spec.trigger, again.spec.retry_of) == (Trigger.RETRY, made.metadata.name)
        assert (await ordinaut.runs.wait(again.metadata.name, timeout=60)).status.phase is RunPhase.FAILED
        listed = [one async for one in ordinaut.runs.list(task="unlucky", phase=RunPhase.FAILED)]
        assert [one.metadata.name for one in listed] == [again.metadata.name, made.metadata.name]
        soon = datetime.now(UTC) + timedelta(hours=1)
        assert [one async for one in ordinaut.runs.list(created_after=soon)] == []
        with pytest.raises(Conflict):
            await ordinaut.runs.cancel(again.metadata.name)


async def _all(items: Any) -> list[Any]:
    return [item async for item in items]


async def test_a_task_rests_and_goes_on(served: Served) -> None:
    schedules = [{"cron": "0 9 * * *", "timeZone": "Europe/Chisinau"}]
    async with served.client() as ordinaut:
        await ordinaut.tasks.put(task("daily", HELLO, schedules=schedules))
        times = (await ordinaut.tasks.preview("daily", count=2)).items
        assert (await ordinaut.tasks.preview("daily", count=1, after=times[0])).items == times[1:]
        paused = await ordinaut.tasks.pause("daily")
        assert paused.status.pause is not None
        assert paused.status.pause.by == "editor"
        assert (await ordinaut.tasks.resume("daily")).status.pause is None
        until = times[1] - timedelta(hours=1)
        snoozed = await ordinaut.tasks.snooze("daily", until=until)
        assert snoozed.status.snooze is not None
        assert snoozed.status.snooze.until == until
        assert (await ordinaut.tasks.snooze("daily", for_=timedelta(minutes=90))).status.snooze is not None
        assert (await ordinaut.tasks.resume("daily")).status.snooze is None
        assert [one async for one in ordinaut.tasks.fires("daily")] == []
        for verified in (ordinaut.tasks.verify(), ordinaut.tasks.verify("daily")):
            (ledger,) = await _all(verified)
            assert (ledger.task, ledger.nominal, ledger.violated) == ("daily", 0, 0)
        with pytest.raises(ValueError, match="no time zone"):
            await ordinaut.tasks.snooze("daily", until=datetime(2099, 1, 1))


async def test_one_key_is_one_run(served: Served) -> None:
    async with served.client() as ordinaut:
        await ordinaut.tasks.put(task("hello", HELLO))
        runs = await asyncio.gather(*(ordinaut.tasks.run("hello", idempotency_key="morning") for _ in range(10)))
        assert len({one.metadata.name for one in runs}) == 1
        with pytest.raises(KeyReused):
            await ordinaut.tasks.run("hello", params={"who": "Ana"}, idempotency_key="morning")


async def test_what_happens_can_be_published_and_read(served: Served) -> None:
    async with served.client() as ordinaut:
        assert await ordinaut.events.publish("mail.received", {"from": "Ana"}, subject="inbox")
        assert len(await ordinaut.events.publish_many([{"type": "a.b"}, {"type": "a.c"}])) == 2
        when = datetime(2026, 3, 1, 9, tzinfo=UTC)
        run = "019ab0d2-7c1e-7cc3-98c4-dc0c0c07398f"
        await ordinaut.events.publish("mail.read", source="/mycontext", id_="A234", time=when, run=run)
        cloud = {"specversion": "1.0", "id": "B234", "source": "/mycontext", "type": "mail.read", "tenant": "x"}
        await ordinaut.events.publish_many([cloud | {"datacontenttype": "image/png", "data_base64": "iVBORw=="}])
        newest, own = await _all(ordinaut.events.list(limit=2))
        assert (newest.id, newest.data_base64, newest.model_extra) == ("B234", "iVBORw==", {"tenant": "x"})
        assert (own.id, own.time, own.model_extra) == ("A234", "2026-03-01T09:00:00+00:00", {"ordinautrun": run})
        with pytest.raises(Forbidden):
            await _all(ordinaut.audit.list())
    async with served.client(Role.ADMIN) as ordinaut:
        denied, *_ = await _all(ordinaut.audit.list(limit=1))
        assert (denied.decision, denied.actor, denied.verb) == ("Denied", "tokens:editor", "list")
        assert len(await _all(ordinaut.audit.list(actor="tokens:editor", decision="Allowed"))) == 4


async def test_who_calls_is_known_and_strangers_learn_nothing(served: Served) -> None:
    async with served.client(Role.VIEWER) as ordinaut:
        assert (await ordinaut.whoami()).id == "tokens:viewer"
        with pytest.raises(Forbidden, match="may not update tasks"):
            await ordinaut.tasks.put(task("hello", HELLO))
        with pytest.raises(Forbidden):
            await ordinaut.in_namespace("team-b").quota()
    for token in (None, "ordt_nobody"):
        async with served.client(token=token) as stranger:
            with pytest.raises(Unauthenticated):
                await stranger.whoami()


async def test_a_token_that_is_replaced_in_its_file_is_used_at_once(served: Served, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(served.tokens[Role.VIEWER])
    async with served.client(token=None, token_file=file) as ordinaut:
        assert (await ordinaut.whoami()).user == "viewer"
        file.write_text(served.tokens[Role.ADMIN] + "\n")
        assert (await ordinaut.whoami()).user == "admin"


async def test_a_client_lives_through_a_restart_of_the_api(served: Served, database: str, valkey: str) -> None:
    port = free_port()
    settings: dict[str, Any] = {"api_port": port, "authentication": "tokens", "access_file": served.access_file}
    first = served.processes.start("api", **settings)
    url = f"http://127.0.0.1:{port}"
    async with Client(
        url,
        token=served.tokens[Role.EDITOR],
        namespace=NAMESPACE,
        retries=Retries(limit=60, cap=1.0),
    ) as ordinaut:
        made = await ordinaut.tasks.put(task("hello", HELLO))
        run = await ordinaut.tasks.run("hello")
        follower = ordinaut.runs.follow(run.metadata.name)
        assert (await anext(follower)).status.phase is RunPhase.PENDING
        following = asyncio.create_task(_all(follower))
        await asyncio.to_thread(first.kill)
        asking = asyncio.create_task(ordinaut.tasks.get("hello"))
        await asyncio.to_thread(served.processes.start, "api", **settings)
        assert (await asking).metadata.uid == made.metadata.uid
        await asyncio.to_thread(served.processes.start, "worker")
        assert (await following)[-1].status.phase is RunPhase.SUCCEEDED

"""What the API keeps and reads beside the objects themselves: labels, versions, quotas, the trail, lists of runs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from ordinaut.declaration.apply import remove
from ordinaut.states import Origin
from ordinaut.store import audit, declared, quotas, runs, status
from ordinaut.store.declared import Incarnation, Key, Owner
from ordinaut.store.pool import Connection, Pool
from ordinaut.store.quotas import Usage
from ordinaut.store.status import DeclaredRow, TaskRow
from tests.declaring import declare, pipeline, run_now, task, tool
from tests.integration.rows import make_runs, make_task

LOG = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}


def labelled(document: dict[str, Any], **labels: str) -> dict[str, Any]:
    document["metadata"] |= {"labels": labels, "annotations": {"note": "x"}, "uid": "u"}
    return document


async def task_row(pool: Pool, name: str = "t") -> TaskRow:
    async with pool.connection() as connection:
        return await status.task_named(connection, namespace="default", name=name)


async def tool_row(pool: Pool) -> DeclaredRow:
    async with pool.connection() as connection:
        (found,) = await status.list_declared(connection, "Tool", namespace="default", limit=1)
    return found


async def owner(pool: Pool, key: Key) -> Owner:
    async with pool.connection() as connection:
        return (await declared.owners(connection, [key]))[key]


async def test_labels_and_annotations_are_kept_and_count_as_a_change_but_not_of_the_spec(pool: Pool) -> None:
    await declare(pool, labelled(task("t", LOG), team="a"))
    first = await task_row(pool)
    assert (first.labels, first.annotations, first.version, first.generation) == ({"team": "a"}, {"note": "x"}, 1, 1)

    await declare(pool, labelled(task("t", LOG), team="b"))
    second = await task_row(pool)
    assert (second.labels, second.version, second.generation) == ({"team": "b"}, 2, 1)
    assert (await owner(pool, Key("Task", "default", "t"))).version == 2

    assert (await declare(pool, labelled(task("t", LOG), team="b"))).changed == []
    await declare(pool, labelled(task("t", LOG, priority=9), team="b"))
    third = await task_row(pool)
    assert (third.version, third.generation) == (3, 2)


async def test_pipelines_and_tools_have_them_too(pool: Pool) -> None:
    await declare(pool, labelled(tool("x", "http://127.0.0.1:9"), team="a"), labelled(pipeline("x", LOG), team="a"))
    first = await tool_row(pool)
    await declare(pool, labelled(tool("x", "http://127.0.0.1:9"), team="b"), labelled(pipeline("x", LOG), team="b"))

    second = await tool_row(pool)
    assert (second.labels, second.version, second.generation) == ({"team": "b"}, 2, 1)
    assert second.created_at == first.created_at < second.updated_at
    for kind in declared.KINDS[:2]:
        assert (await owner(pool, Key(kind, "default", "x"))).version == 2


async def test_labels_of_resources_stay_in_the_api_server(pool: Pool) -> None:
    document = labelled(task("t", LOG), team="a")
    document["metadata"]["generation"] = 1
    await declare(pool, document, origin=Origin.KUBERNETES)

    assert ((await task_row(pool)).labels, (await task_row(pool)).annotations) == ({}, {})
    document["metadata"]["labels"] = {"team": "b"}
    assert (await declare(pool, document, origin=Origin.KUBERNETES)).changed == []


async def test_quotas_count_what_was_made_through_the_api_and_still_is_there(pool: Pool) -> None:
    await declare(pool, *(labelled(task(f"t{n}", LOG)) for n in range(3)), tool("x", "http://127.0.0.1:9"))
    await declare(pool, task("resource", LOG), pipeline("resource", LOG), origin=Origin.KUBERNETES)
    await remove(pool, [Incarnation(Key("Task", "default", "t0"), "u")], origin=Origin.API)

    async with pool.connection() as connection:
        assert await quotas.usage(connection, namespace="default") == Usage(tasks=2, pipelines=0, tools=1, hooks=0)
        assert await quotas.usage(connection, namespace="other") == Usage(0, 0, 0, 0)


async def written(connection: Connection, actor: str, namespace: str = "default", **more: Any) -> None:
    decision = more.pop("decision", "Allowed")
    verb = more.pop("verb", "create")
    await audit.append(
        connection, actor=actor, verb=verb, namespace=namespace, object_="tasks/t", decision=decision, **more
    )


async def test_the_audit_trail_is_read_newest_first_and_of_one_namespace(pool: Pool) -> None:
    async with pool.connection() as connection:
        await written(connection, "ada", request_id="r1")
        await written(connection, "bob", verb="delete")
        await written(connection, "ada", "other")
        await written(connection, "ada", decision="Denied")

        async def actors(**chosen: Any) -> list[str]:
            found = await audit.list_(connection, namespace="default", limit=chosen.pop("limit", 9), **chosen)
            return [f"{row.actor} {row.verb} {row.decision}" for row in found]

        everything = ["ada create Denied", "bob delete Allowed", "ada create Allowed"]
        assert await actors() == everything
        assert await actors(actor="bob") == ["bob delete Allowed"]
        assert await actors(verb="create", decision="Allowed") == ["ada create Allowed"]
        first = await audit.list_(connection, namespace="default", limit=2)
        (last,) = await audit.list_(connection, namespace="default", limit=2, before=first[-1].id)
    assert (last.actor, last.object, last.request_id, last.namespace) == ("ada", "tasks/t", "r1", "default")


async def test_runs_are_listed_by_the_time_of_their_creation(pool: Pool) -> None:
    now = datetime.now(UTC)
    async with pool.connection() as connection:
        task_id = await make_task(connection)
        async with connection.transaction():
            keys = await make_runs(connection, task_id, 3)

        async def listed(**bounds: Any) -> int:
            found = await runs.list_(connection, namespace="default", limit=9, **bounds)
            assert [run.run_id for run in found] == sorted((run.run_id for run in found), reverse=True)
            return len(found)

        hour = timedelta(hours=1)
        assert await listed() == len(keys)
        assert await listed(created_after=now - hour, created_before=now + hour) == 3
        assert await listed(created_after=now + hour) == 0
        assert await listed(created_before=now - hour) == 0
        assert await listed(created_after=datetime.min.replace(tzinfo=UTC)) == 3
        assert await listed(created_before=datetime.min.replace(tzinfo=UTC)) == 0
        assert await listed(created_before=datetime.max.replace(tzinfo=UTC)) == 3
        created = (await runs.list_(connection, namespace="default", limit=1))[0].created_at
        assert await listed(created_after=created) == 3


@pytest.mark.usefixtures("early_in_a_minute")
async def test_listing_runs_of_a_span_reads_the_partitions_of_its_days_only(pool: Pool) -> None:
    day = datetime.now(UTC).replace(hour=12)
    async with pool.connection() as connection:
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        await connection.execute(
            "PREPARE listed (timestamptz, timestamptz) AS SELECT run_id FROM run WHERE namespace = 'default'"
            " AND run_id >= uuid7_floor(greatest(coalesce($1, 'epoch'), 'epoch'))"
            " AND run_id < uuid7_floor(greatest(coalesce($2, '9999-12-31 00:00:00+00'), 'epoch'))"
        )
        plan = await connection.execute(f"EXPLAIN EXECUTE listed ('{day}', '{day + timedelta(minutes=1)}')")
        text = "\n".join(row[0] for row in await plan.fetchall())
    scanned = {line.split(" on ")[1].split()[0] for line in text.splitlines() if " on run" in line}
    assert scanned <= {f"run_{day:%Y%m%d}", "run_rest", f"run_{day:%Y%m%d}_namespace_run_id_idx"}


async def test_lists_of_runs_leave_the_outputs_where_they_are(pool: Pool) -> None:
    await declare(pool, task("t", LOG))
    run_id = await run_now(pool, namespace="default", name="t")
    async with pool.connection() as connection:
        await connection.execute("UPDATE run SET output = '{\"big\": 1}'")
        (listed,) = await runs.list_(connection, namespace="default", limit=9)
        found = await runs.get(connection, namespace="default", run_id=run_id)
    assert listed.output is None
    assert found is not None
    assert found.output == {"big": 1}

"""The functions that autoscalers ask, with the rights that an autoscaler should have and no others."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from psycopg import conninfo

from ordinaut.states import RunPhase
from ordinaut.store import work
from ordinaut.store.pool import Pool
from ordinaut.store.settle import RunResult, Settlement, settle
from tests.declaring import declare, run_now, task

STEP = {"id": "a", "uses": "std.log", "with": {"message": "hi"}}


@pytest.fixture
def autoscaler(database: str) -> Iterator[str]:
    """The URL of the database for a role that may use the schema and nothing else."""
    role = f"{conninfo.conninfo_to_dict(database)['dbname']}_scaler"  # roles belong to the server, not to a database
    with psycopg.connect(database, autocommit=True) as connection:
        with connection.transaction():
            connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'scale'")
            connection.execute(f"GRANT USAGE ON SCHEMA ordinaut TO {role}")
        yield conninfo.make_conninfo(database, user=role, password="scale")
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")


def asked(url: str, *questions: str) -> list[int]:
    """Return the answers to questions, in a session that is told nothing more than KEDA would tell."""
    with psycopg.connect(url, autocommit=True) as connection:
        answers = [connection.execute(f"SELECT {question}".encode()).fetchone() for question in questions]
    return [int(answer[0]) for answer in answers if answer is not None]


async def test_an_autoscaler_learns_what_waits_and_what_comes(pool: Pool, autoscaler: str) -> None:
    questions = [
        "ordinaut.claimable()",
        "ordinaut.leased()",
        *(f"ordinaut.due_within({seconds})" for seconds in (0, 60, 1000)),
    ]
    assert asked(autoscaler, *questions) == [0, 0, 0, 0, 0]

    await declare(pool, task("overdue", STEP), task("soon", STEP), task("later", STEP), task("never", STEP))
    for _ in range(4):
        await run_now(pool, namespace="default", name="never")
    async with pool.connection() as connection:
        for name, seconds in (("overdue", -5), ("soon", 30), ("later", 600)):
            await connection.execute(
                "UPDATE task_clock c SET next_fire_at = now() + make_interval(secs => %s)"
                " FROM task t WHERE t.task_id = c.task_id AND t.name = %s",
                [seconds, name],
            )
        first, _ = await work.lease(connection, worker="w", limit=2, ttl=timedelta(minutes=5))
        waits = RunResult(RunPhase.WAITING, delay=timedelta(seconds=40))
        await settle(connection, [Settlement(first, run=waits)], done=[])

    assert asked(autoscaler, *questions) == [2, 1, 1, 3, 4]


async def test_an_autoscaler_of_some_queues_learns_of_those_only(pool: Pool, autoscaler: str) -> None:
    every = ("'{default}'", "'{gpu}'", "'{gpu,default}'", "'{*}'", "'{unknown}'")

    def told(question: str) -> list[int]:
        return asked(autoscaler, *(f"ordinaut.{question.format(queues=queues)}" for queues in every))

    assert told("claimable_in({queues})") == [0] * 5
    await declare(pool, task("usual", STEP), task("train", STEP, queue="gpu"))
    for name in ("usual", "train", "train", "train"):
        await run_now(pool, namespace="default", name=name)
    async with pool.connection() as connection:
        await connection.execute(
            "INSERT INTO work_lease (worker, leased_until, items) SELECT 'w', now(), array_agg(ROW(id, queue, urgency,"
            " due_at, attempt, run_id, started_at)::work_item) FROM (SELECT * FROM due_work ORDER BY run_id LIMIT 2) d"
        )
        await connection.execute("DELETE FROM due_work WHERE run_id = (SELECT max(run_id::text)::uuid FROM due_work)")
        # In the ward of its queue: a suspect that waits to be alone.
        await connection.execute("UPDATE due_work SET queue = -2 WHERE id = (SELECT max(id) FROM due_work)")
        await connection.execute(
            "INSERT INTO delayed_work (queue, urgency, due_at, run_id)"
            " VALUES (1, 4, now() + interval '40 s', gen_random_uuid())"
        )

    assert told("claimable_in({queues})") == [1, 2, 3, 3, 0]
    assert told("leased_in({queues})") == [1, 1, 2, 2, 0]
    assert told("due_in({queues}, 60)") == [0, 1, 1, 1, 0]
    assert told("due_in({queues}, 0)") == [0] * 5
    async with pool.connection() as connection:
        await connection.execute("UPDATE task_clock SET next_fire_at = now()")
    assert told("due_in({queues}, 0)") == [1, 1, 2, 2, 0]


def test_an_autoscaler_sees_nothing_else(autoscaler: str) -> None:
    with psycopg.connect(autoscaler, autocommit=True) as connection:
        tables = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class c WHERE relnamespace = 'ordinaut'::regnamespace"
            " AND relkind IN ('r', 'p', 'v') AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')"
        ).fetchall()
        assert tables == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT count(*) FROM ordinaut.due_work")


def test_a_role_cannot_bend_the_functions_to_its_own_tables(autoscaler: str) -> None:
    with psycopg.connect(autoscaler, autocommit=True) as connection:
        connection.execute("CREATE TEMP TABLE due_work AS SELECT 0::smallint AS queue FROM generate_series(1, 9)")
        connection.execute("SET search_path = pg_temp, ordinaut")

        assert connection.execute("SELECT ordinaut.claimable()").fetchone() == (0,)


def test_the_answer_is_never_null(autoscaler: str) -> None:
    assert asked(autoscaler, "ordinaut.claimable(7::smallint)", "ordinaut.due_within(NULL)") == [0, 0]
    assert asked(autoscaler, *(f"ordinaut.{one}_in(NULL)" for one in ("claimable", "leased"))) == [0, 0]
    assert asked(autoscaler, "ordinaut.due_in(NULL, NULL)") == [0]

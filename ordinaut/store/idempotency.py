"""
Answers kept by Idempotency-Key, in the transaction of the change that they answer.

Two requests with one key at the same time wait for each other at the key of the table: the second one gets the answer
of the first, or does the work itself if the first has failed.
"""

from dataclasses import dataclass

from psycopg.types.json import Jsonb

from ordinaut.store.pool import Connection
from ordinaut.store.queries import SQL


@dataclass(frozen=True, slots=True)
class Claim:
    """A key as one caller sent it to one route; ``digest`` is of everything that makes the request what it is."""

    namespace: str
    caller: str
    route: str
    key: str
    digest: bytes

    def params(self) -> dict[str, object]:
        """Return the parameters of the statements."""
        return {"namespace": self.namespace, "caller": self.caller, "route": self.route, "key": self.key}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to the first request with a key, and the digest of that request."""

    digest: bytes
    status: int
    headers: dict[str, str]
    body: bytes


async def claim(connection: Connection, wanted: Claim) -> Answer | None:
    """Take a key, as part of a transaction; return the earlier answer if it was taken before."""
    taken = await connection.execute(SQL["claim_idempotency_key"], {**wanted.params(), "digest": wanted.digest})
    if taken.rowcount:
        return None
    row = await (await connection.execute(SQL["kept_answer"], wanted.params())).fetchone()
    assert row is not None  # noqa: S101 - the insert has waited for whoever took it
    return Answer(bytes(row[0]), row[1], row[2], bytes(row[3]))


async def keep(connection: Connection, claimed: Claim, answer: Answer) -> None:
    """Keep the answer to a claimed key."""
    await connection.execute(
        SQL["keep_answer"],
        {**claimed.params(), "status": answer.status, "headers": Jsonb(answer.headers), "body": answer.body},
    )


async def forget(connection: Connection, *, hours: int) -> int:
    """Forget the answers that are older; returns how many."""
    return (await connection.execute(SQL["forget_answers"], {"hours": hours})).rowcount

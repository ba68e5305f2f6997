"""``ordinaut replay-events``: fill the Redis stream from the database, after one of the two was lost."""

import asyncio
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from ordinaut_cli import moments, render
from ordinaut_cli.errors import CommandError
from ordinaut_cli.options import Output, OutputFormat

if TYPE_CHECKING:
    from ordinaut_operator.settings import OperatorSettings

Since = Annotated[str, typer.Option(metavar="TIME", help="How far back: a duration such as 2h, or an RFC 3339 time.")]
Restored = Annotated[
    bool, typer.Option("--restored", help="PostgreSQL was restored from a backup: give new events ids that none had.")
]


def replay_events(since: Since = "24h", restored: Restored = False, output: Output = OutputFormat.TABLE) -> None:
    """Append past events to the Redis stream once more.

    Needs what the operator needs: the addresses of PostgreSQL and Redis. Readers know events that they have had by
    their ids. Safe to repeat.
    """
    from ordinaut.settings import load  # noqa: PLC0415 - slow to load, and other commands need not wait for it
    from ordinaut_operator.settings import OperatorSettings  # noqa: PLC0415 - as above

    configured = load(OperatorSettings)
    if configured.events == "off":
        raise CommandError("ORDINAUT_EVENTS: off: there is no stream to fill; leave it out and set ORDINAUT_REDIS_URL")
    appended, skipped = asyncio.run(_replay(configured, since=moments.before_now(since), restored=restored))
    table = f"{appended} events appended" + (f", {skipped} ids skipped" if skipped else "")
    render.show({"appended": appended, "skippedIds": skipped}, output, as_table=table)


async def _replay(configured: "OperatorSettings", *, since: datetime, restored: bool) -> tuple[int, int]:
    import psycopg  # noqa: PLC0415 - as above
    from redis import RedisError  # noqa: PLC0415 - as above

    from ordinaut.events.connection import connect as connect_redis  # noqa: PLC0415 - as above
    from ordinaut.events.connection import explained  # noqa: PLC0415 - as above
    from ordinaut.store.pool import connect  # noqa: PLC0415 - as above
    from ordinaut_cli import replaying  # noqa: PLC0415 - as above

    redis = connect_redis(configured.redis_url.get_secret_value(), ca_file=configured.redis_ca_file)
    try:
        async with await connect(configured.database_url.get_secret_value(), application="replay") as connection, redis:
            return await replaying.replay(
                connection, redis, since=since, restored=restored, max_length=configured.stream_max_length
            )
    except psycopg.Error as error:
        raise CommandError(
            f"ORDINAUT_DATABASE_URL: cannot read the events: {str(error).strip()}",
            "check the address, and that `ordinaut migrate` has been run",
        ) from None
    except RedisError as error:
        raise CommandError(
            f"ORDINAUT_REDIS_URL: cannot write the stream: {explained(error)}",
            "check the address; all of it can be sent again",
        ) from None

"""
The Python client of the REST API, for agents and their developers.

::

    from ordinaut.client import Client

    async with Client("https://ordinaut.example.com", namespace="team-a", token_file="/var/run/token") as ordinaut:
        run = await ordinaut.tasks.run("morning-briefing", params={"city": "Iasi"})
        over = await ordinaut.runs.wait(run.metadata.name, timeout=60)

Answers are the shapes of ``ordinaut.shapes``; what goes wrong is in ``errors``. Requests are sent again where that can
do no harm, each POST with a key of its own so that it can't. It knows the API only: no database, no engine.
"""

from ordinaut.client.client import Client
from ordinaut.client.errors import (
    ClientError,
    Conflict,
    Forbidden,
    Invalid,
    KeyReused,
    NotFound,
    NotTheApi,
    PreconditionFailed,
    ProblemError,
    QuotaExceeded,
    RateLimited,
    TokenUnavailable,
    Unauthenticated,
    Unavailable,
    Unreachable,
    WrongName,
)
from ordinaut.client.retrying import Retries
from ordinaut.client.tokens import StaticToken, TokenCommand, TokenFile, TokenSource

__all__ = [
    "Client",
    "ClientError",
    "Conflict",
    "Forbidden",
    "Invalid",
    "KeyReused",
    "NotFound",
    "NotTheApi",
    "PreconditionFailed",
    "ProblemError",
    "QuotaExceeded",
    "RateLimited",
    "Retries",
    "StaticToken",
    "TokenCommand",
    "TokenFile",
    "TokenSource",
    "TokenUnavailable",
    "Unauthenticated",
    "Unavailable",
    "Unreachable",
    "WrongName",
]

"""
Thousands of requests made from the OpenAPI document, right ones and wrong ones: no 5xx, every answer as described.

CI sends always the same ones; ``make fuzz`` sends more, others each time, and prints the seed that repeats them.
"""

import contextlib
import copy
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.generation import dictionaries  # noqa: F401 - loaded late, deep in a recursion, Python 3.11 fails
from schemathesis.python import asgi
from schemathesis.specs.openapi import checks
from starlette.types import Message, Receive, Scope, Send

from ordinaut.access.caller import Authority
from ordinaut.declaration import backfill as backfills
from ordinaut.states import RunPhase
from ordinaut.store import clock
from ordinaut.store.pool import open_pool
from ordinaut.store.runs import finish
from ordinaut_api.app import create_app
from ordinaut_api.settings import ApiSettings
from tests import signing
from tests.declaring import cancel, declare, manifest, run_now
from tests.security.operations import Operation, document, operations
from tests.security.tenants import OURS, PATIENT, Access

pytestmark = pytest.mark.integration

CASES: Final = int(os.environ.get("ORDINAUT_TEST_FUZZ_CASES", "2400"))
SEED: Final = int(os.environ.get("ORDINAUT_TEST_FUZZ_SEED", "3"))

DOCUMENT: Final = document()
OPERATIONS: Final = list(operations(DOCUMENT))
SCHEMA: Final = schemathesis.openapi.from_dict(copy.deepcopy(DOCUMENT))  # it changes the examples in there
NAME: Final = "existing"
HOOK_KEY: Final = "It's a Secret to Everybody"
CHECKS: Final = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
SHARES: Final = {"existing": 0.5, "tenant": 0.3, "anywhere": 0.2}
"""How many requests are about things that exist, about names of the tenant that do not, and about any namespace."""


class Signing:
    """The application behind a sender that signs whatever is delivered to a hook."""

    def __init__(self, app: FastAPI, *, key: str) -> None:
        self._app = app
        self._key = key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request pass, as ASGI has it."""
        if scope["type"] != "http" or scope["method"] != "POST" or "/hooks/" not in scope["path"]:
            await self._app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        signed = {**signing.github(self._key, body, id_=uuid.uuid4().hex)}
        del signed["content-type"]
        headers = [*scope["headers"], *((name.encode(), value.encode()) for name, value in signed.items())]

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app({**scope, "headers": headers}, again, send)


@dataclass(frozen=True)
class Target:
    """The application with things in it that requests can be about."""

    app: Signing
    ended: uuid.UUID
    waiting: uuid.UUID
    parked: uuid.UUID
    backfill: uuid.UUID
    headers: Mapping[str, str]

    def parameters(self, operation: Operation, share: str) -> dict[str, Any]:
        """Return the path parameters that are given; the others are made up."""
        known: dict[str, Any] = {}
        if share != "anywhere":
            known["namespace"] = OURS
        if share == "existing":
            # Waiting for a run that nobody works on would take its time.
            runs = {"cancel": self.waiting, "unpark": self.parked}
            known |= {
                "name": NAME,
                "run_id": str(runs.get(operation.template.rpartition("/")[2], self.ended)),
                "backfill_id": str(self.backfill),
            }
        return {name: value for name, value in known.items() if f"{{{name}}}" in operation.template}


@pytest.fixture
async def target(database: str, access: Access, tmp_path: Path) -> Target:
    key = tmp_path / "secrets" / OURS / "s" / "k"
    key.parent.mkdir(parents=True)
    key.write_text(HOOK_KEY, encoding="utf-8")
    log = {"id": "say", "uses": "std.log", "with": {"message": "hello"}}
    specs: dict[str, dict[str, Any]] = {
        "Task": {"pipeline": {"steps": [log]}, "schedules": [{"cron": "@daily"}]},
        "Pipeline": {"steps": [log]},
        "Tool": {"http": {"url": "http://tools.example/x"}},
        "Hook": {"topic": "a.b", "signature": {"style": "GitHub", "secretRefs": [{"name": "s", "key": "k"}]}},
    }
    async with open_pool(database, application="fuzz", size=1) as pool:
        await declare(pool, *(manifest(kind, NAME, spec, namespace=OURS) for kind, spec in specs.items()))
        ended, waiting, parked = [await run_now(pool, namespace=OURS, name=NAME) for _ in range(3)]
        await cancel(pool, namespace=OURS, run_id=ended)
        async with pool.connection() as connection, connection.transaction():
            await finish(connection, [parked], phase=RunPhase.PARKED, reason="MaxDeliveriesExceeded", error="lost")
            yesterday = await clock.now(connection) - timedelta(days=1)
            plan = await backfills.plan(connection, namespace=OURS, name=NAME, since=yesterday)
            backfill = await backfills.start(connection, plan, max_active=1, by="me")
    chosen = ApiSettings(
        database_url=database,
        authentication=(Authority.TOKENS,),
        access_file=access.path,
        secrets_dir=tmp_path / "secrets",
        **PATIENT,
    )  # type: ignore[arg-type]
    return Target(
        Signing(create_app(chosen), key=HOOK_KEY), ended, waiting, parked, backfill, access.headers("admin-a")
    )


@pytest.fixture(autouse=True)
def _stopped() -> Iterator[None]:
    """End the application that schemathesis has started, before its database goes."""
    yield
    asgi.shutdown_lifespans()


@pytest.mark.timeout(600)
# The application, in another thread, may draw a random number while a request is made up.
@pytest.mark.filterwarnings("ignore:Do not use the .random. module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.parametrize("operation", OPERATIONS, ids=str)
def test_no_request_breaks_anything_and_every_answer_is_as_described(operation: Operation, target: Target) -> None:
    described = SCHEMA[operation.template][operation.method]
    seen: Counter[int] = Counter()

    for share, part in SHARES.items():
        for mode in GenerationMode:
            strategy = described.as_strategy(
                generation_mode=mode,
                path_parameters=target.parameters(operation, share),
                headers=dict(target.headers),
            )

            @seed(SEED)
            @settings(
                max_examples=max(2, round(cases(operation) * part / len(GenerationMode))),
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(strategy)
            def check(case: Case) -> None:
                agree(case)
                answer = case.call(app=target.app, headers=dict(target.headers))
                seen[answer.status_code] += 1
                case.validate_response(answer, checks=checks_of(answer))

            # Where every parameter is given and there is no body, there is nothing to get wrong.
            with contextlib.suppress(Unsatisfiable):
                check()
    print(operation, dict(seen))
    assert any(status < 300 for status in seen), seen
    assert set(seen) - {401, 403}, seen


def checks_of(answer: Response) -> list[Any]:
    """Return the checks for an answer; a stream is one text to OpenAPI 3.1, and the events in it to schemathesis."""
    stream = "text/event-stream" in answer.headers["content-type"][0] if "content-type" in answer.headers else False
    return [one for one in CHECKS if not (stream and one is checks.response_schema_conformance)]


def cases(operation: Operation) -> int:
    """Return how many of all cases are for an operation: those with a body have more that can go wrong."""
    # A batch is made of what other operations take one at a time, and takes long to make up.
    weights = {
        one.id: 4 if "requestBody" in one.described and not one.template.endswith(":batch") else 1 for one in OPERATIONS
    }
    return round(CASES * weights[operation.id] / sum(weights.values()))


def agree(case: Case) -> None:
    """Make a manifest say what its path says, or hardly any would get any further."""
    body = case.body
    for one in body["items"] if isinstance(body, dict) and isinstance(body.get("items"), list) else [body]:
        if isinstance(one, dict) and isinstance(metadata := one.get("metadata"), dict):
            if isinstance(metadata.get("namespace"), str):
                metadata["namespace"] = case.path_parameters.get("namespace")
            if isinstance(metadata.get("name"), str) and (name := case.path_parameters.get("name")):
                metadata["name"] = name

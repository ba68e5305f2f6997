"""The gate in front of the routes: strangers where there are no identities, and what it adds to answers and logs."""

from collections.abc import Mapping
from typing import Any

import httpx2
import pytest
from starlette.types import Receive, Scope, Send
from structlog.testing import capture_logs

from ordinaut_api.gate import Gate, request_id, stranger


async def answering(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer as a route behind a guard would."""
    scope["state"]["caller"] = "tokens:ada"
    scope["state"]["headers"] = [(b"ratelimit", b'"namespace";r=1;t=2')]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def get(*, local: bool, headers: Mapping[str, str] | None = None, method: str = "POST") -> httpx2.Response:
    transport = httpx2.ASGITransport(Gate(answering, local=local))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        return await client.request(method, "/v1/whoami", headers=headers)


FOREIGN = [
    {"host": "ordinaut.example"},
    {"host": "127.0.0.1.example.com"},
    {"host": ""},
    {"host": "[::1"},
    {"origin": "https://evil.example"},
    {"origin": "null"},
    {"origin": "http://127.0.0.1.example.com"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_without_identities_a_page_of_another_site_is_refused(headers: dict[str, str]) -> None:
    assert (await get(local=True, headers=headers)).status_code == 403


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_with_identities_any_name_leads_here_since_a_token_is_needed(headers: dict[str, str]) -> None:
    assert (await get(local=False, headers=headers)).status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "[::1]:8080", "localhost", "127.9.9.9"])
def test_this_machine_is_no_stranger(host: str) -> None:
    assert stranger({"host": host, "origin": f"http://{host}"}) is None


async def test_answers_carry_what_the_guard_has_to_say() -> None:
    answer = await get(local=False, headers={"x-request-id": "abc"})
    assert answer.headers["x-request-id"] == "abc"
    assert answer.headers["ratelimit"] == '"namespace";r=1;t=2'


async def test_the_log_names_the_caller_and_no_token() -> None:
    with capture_logs() as logs:
        await get(local=False, headers={"authorization": "Bearer ordt_secret"})
    (line,) = logs
    assert line["caller"] == "tokens:ada"
    assert "ordt_secret" not in str(logs)


@pytest.mark.parametrize("given", [None, "", "a b", "a\nb", "x" * 65, "é", "{}"])
def test_a_request_id_that_could_do_harm_is_replaced(given: Any) -> None:
    assert request_id(given) != given
    assert request_id("abc-1.2:3_4") == "abc-1.2:3_4"

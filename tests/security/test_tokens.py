"""Nobody gets in without a good token, however the request is spelled, and every refusal says the same (attack 1)."""

import hashlib
from typing import Any

import pytest

from ordinaut.access import grants
from tests.security.operations import operations
from tests.security.problems import refused, steady
from tests.security.tenants import OURS, Api, path_of

pytestmark = pytest.mark.integration

TASKS = path_of("tasks")
GOOD = "viewer-a"


async def call_raw(api: Api, *headers: tuple[bytes, bytes], path: str = TASKS) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send headers that no well-behaved client would, past everything that could mend them on the way."""
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"ordinaut.example"), *headers],
        "client": ("127.0.0.1", 4242),
        "server": ("127.0.0.1", 8080),
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await api.app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent[1:])
    return sent[0]["status"], dict(sent[0]["headers"]), body


WRONG_VALUES = [
    "",
    "Bearer",
    "Bearer ",
    "Bearer nothing",
    "{token}",
    "Basic {token}",
    "Token {token}",
    "Bearer: {token}",
    "Bearer  {token} {token}",
    "Bearer {token},",
    "Bearer {token}, Bearer {token}",
    "Bearer {token}\n",
    "Bearer {token}\r\nX-Extra: 1",
    "Bearer {token}\x00",
    "Bearer \t{token}",
    "Bearer {token}é",
    'Bearer "{token}"',
    "Bearer {token}A",
    "Bearer {half}",
    "Bearer {hash}",
    "Bearer ordt_{hash}",
    "Bearer {upper}",
    "Bearer {name}",
    "Bearer " + "A" * 17_000,
    "Bearer " + "=" * 100,
    "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbi1hIn0.",
    "Bearer eyJhbGciOiJub25lIn0.e30." + "A" * 8000,
    "Bearer ../../etc/passwd",
    "Bearer ' OR 1=1 --",
]


async def test_what_is_not_exactly_a_good_token_is_refused_alike(api: Api, subtests: pytest.Subtests) -> None:
    for value in WRONG_VALUES:
        with subtests.test(ascii(value)[:40]):
            await refuse(api, value)


async def refuse(api: Api, value: str) -> None:
    token = api.access.tokens[GOOD]
    digest = hashlib.sha256(token.encode()).hexdigest()
    written = value.format(token=token, half=token[: len(token) // 2], hash=digest, upper=token.upper(), name=GOOD)
    status, headers, body = await call_raw(api, (b"authorization", written.encode("latin-1")))
    assert status == 401, body
    assert headers[b"www-authenticate"] == b'Bearer realm="ordinaut"'
    plain = await api.call(None, "GET", TASKS)
    assert len(body) == len(plain.content)
    assert token.encode() not in body


async def test_two_authorization_headers_are_refused_even_if_one_or_both_are_good(api: Api) -> None:
    good = (b"authorization", f"Bearer {api.access.tokens[GOOD]}".encode())
    bad = (b"authorization", b"Bearer nothing")
    other = (b"authorization", f"Bearer {api.access.tokens['admin-a']}".encode())
    assert (await call_raw(api, good))[0] == 200
    for headers in ((good, bad), (bad, good), (good, good), (good, other)):
        assert (await call_raw(api, *headers))[0] == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Cookie": "Authorization=Bearer {token}; token={token}"},
        {"X-Authorization": "Bearer {token}"},
        {"Proxy-Authorization": "Bearer {token}"},
        {"X-Forwarded-User": "admin-a", "X-Remote-User": "admin-a", "X-Forwarded-For": "127.0.0.1"},
        {"Impersonate-User": "tokens:admin-a"},
    ],
)
async def test_a_token_anywhere_else_does_not_count(api: Api, headers: dict[str, str]) -> None:
    sent = {name: value.format(token=api.access.tokens[GOOD]) for name, value in headers.items()}
    refused(await api.call(None, "GET", TASKS, headers=sent), "unauthenticated")


async def test_a_token_in_the_query_does_not_count_and_is_not_repeated(api: Api) -> None:
    token = api.access.tokens[GOOD]
    for name in ("access_token", "token", "authorization"):
        answer = await api.call(None, "GET", TASKS, params={name: token})
        refused(answer, "unauthenticated")
        assert token not in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-User": "admin-a"},
        {"X-Remote-User": "admin-a"},
        {"X-Remote-Group": "system:masters"},
        {"Impersonate-User": "admin-a"},
        {"X-HTTP-Method-Override": "DELETE"},
        {"X-Original-URL": f"/v1/namespaces/{OURS}/audit"},
        {"Forwarded": "for=127.0.0.1;host=localhost"},
    ],
)
async def test_nobody_becomes_somebody_else_by_a_header(api: Api, headers: dict[str, str]) -> None:
    plain = await api.call(GOOD, "GET", "/v1/whoami")
    assert plain.status_code == 200
    assert (await api.call(GOOD, "GET", "/v1/whoami", headers=headers)).json() == plain.json()
    refused(await api.call(GOOD, "GET", path_of("audit"), headers=headers), "forbidden")


async def test_refusals_do_not_tell_a_good_token_without_rights_what_exists(api: Api) -> None:
    for path in (path_of("tasks", "x"), path_of("tasks", "x", namespace="nowhere"), "/v1/nothing-here"):
        answer = await api.call(None, "GET", path)
        assert answer.status_code in {401, 404}
        assert "x" not in steady(answer)["detail"].split()


async def test_a_new_token_is_of_256_random_bits_and_never_stored(api: Api) -> None:
    made = {grants.new_token().token for _ in range(100)}
    assert len(made) == 100
    assert {len(token) for token in made} == {48}
    assert not [token for token in api.access.tokens.values() if token in api.access.path.read_text()]


@pytest.mark.parametrize("method", ["OPTIONS", "HEAD", "TRACE", "CONNECT", "PROPFIND", "get", "POSTT"])
async def test_other_methods_get_nowhere_without_a_token(api: Api, method: str) -> None:
    for path in (TASKS, path_of("tasks", "x"), "/v1/whoami"):
        answer = await api.client.request(method, path, headers={"Origin": "https://evil.example"})
        assert 400 <= answer.status_code < 500, (method, path)
        assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_no_answer_is_for_other_sites_unless_the_settings_say_so(api: Api) -> None:
    sent = {"Origin": "https://evil.example", "Access-Control-Request-Method": "DELETE"}
    for operation in operations():
        answer = await api.call(GOOD, operation.method, operation.path(), headers=sent)
        assert not [name for name in answer.headers if name.startswith("access-control-")], str(operation)

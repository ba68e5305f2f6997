"""Requests that are malformed on purpose: paths, bodies, bytes on the wire (attacks 1, 5, 6)."""

import itertools
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from ordinaut_api import body
from tests.security.operations import Operation, operations
from tests.security.problems import refused
from tests.security.sockets import Served, lines, read
from tests.security.tenants import OURS, Api, path_of

pytestmark = pytest.mark.integration

JSON = {"content-type": "application/json"}
PATCH = {"content-type": "application/merge-patch+json"}
WITH_BODY = [one for one in operations() if "requestBody" in one.described and not one.signed]
"""But for deliveries of webhooks: of those nothing is said before their signature is right."""

BODIES = {
    "100,000 nested arrays": (b"[" * 100_000 + b"]" * 100_000, "malformed too-large"),
    "100,000 nested objects": (b'{"a":' * 40_000 + b"1" + b"}" * 40_000, "malformed too-large"),
    "1,000 nested arrays": (b'{"spec": ' + b"[" * 1000 + b"]" * 1000 + b"}", "malformed"),
    "one byte too much": (b'{"a": "' + b"x" * (body.MAX_BATCH - 8) + b'"}', "too-large"),
    "NaN": (b'{"spec": NaN}', "malformed"),
    "Infinity": (b'{"spec": -Infinity}', "malformed"),
    "10^400": (b'{"spec": 1e400}', "malformed"),
    "5,000 digits": (b'{"spec": ' + b"9" * 5000 + b"}", "malformed"),
    "lone surrogate": (b'{"kind": "\\ud800"}', "malformed"),
    "lone surrogate as bytes": (b'{"kind": "\xed\xa0\x80"}', "malformed"),
    "NUL": (b'{"kind": "Ta\\u0000sk"}', "invalid"),
    "NUL in a name": (b'{"a\\u0000b": 1}', "invalid"),
    "duplicate keys": (b'{"kind": "Task", "kind": "Tool"}', "malformed"),
    "duplicate keys, escaped": (b'{"kind": "Task", "k\\u0069nd": "Tool"}', "malformed"),
    "not UTF-8": (b'{"kind": "\xff"}', "malformed"),
    "UTF-16": ('{"kind": "Task"}'.encode("utf-16"), "malformed"),
    "byte order mark": (b'\xef\xbb\xbf{"kind": "Task"}', "malformed"),
    "cut off": (b'{"kind": "Ta', "malformed"),
    "two documents": (b"{}{}", "malformed"),
    "comment": (b'{"a": 1} // b', "malformed"),
    "a list": (b"[]", "malformed"),
    "null": (b"null", "malformed"),
    "a text": (b'"text"', "malformed"),
    "YAML": (b"kind: Task", "malformed"),
    "prototype": (b'{"__proto__": {"admin": true}, "constructor": {}}', "invalid"),
    "many keys": (b"{" + b",".join(b'"%d": 0' % number for number in range(20_000)) + b"}", "invalid"),
}


def media_of(operation: Operation) -> dict[str, str]:
    return {"content-type": next(iter(operation.described["requestBody"]["content"]))}


async def test_a_body_that_is_not_sound_json_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    for operation in WITH_BODY:
        with subtests.test(str(operation)):
            await refuse_unsound(api, operation)


async def refuse_unsound(api: Api, operation: Operation) -> None:
    for name, (content, slugs) in BODIES.items():
        answer = await api.call(
            "admin-a", operation.method, operation.path(name="name"), content=content, headers=media_of(operation)
        )
        # A merge patch of what does not exist may be found out first.
        found = refused(answer, *slugs.split(), *(["not-found"] if operation.template.count("{") > 1 else []))
        assert len(answer.content) < 64 * 1024, (name, found)


async def test_a_body_larger_than_the_limit_is_refused_however_it_is_sent(api: Api, subtests: pytest.Subtests) -> None:
    for operation in WITH_BODY:
        with subtests.test(str(operation)):
            await refuse_large(api, operation)


async def refuse_large(api: Api, operation: Operation) -> None:
    limit = body.MAX_BATCH if operation.template.endswith(":batch") else body.MAX_BODY

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(1 + limit // 4096):
            yield b" " * 4096

    path, headers = operation.path(), media_of(operation)
    refused(await api.call("admin-a", operation.method, path, content=b" " * (limit + 1), headers=headers), "too-large")
    refused(await api.call("admin-a", operation.method, path, content=chunks(), headers=headers), "too-large")


async def test_a_body_of_another_type_or_coding_is_refused(api: Api, subtests: pytest.Subtests) -> None:
    for operation in WITH_BODY:
        with subtests.test(str(operation)):
            await refuse_other_types(api, operation)


async def refuse_other_types(api: Api, operation: Operation) -> None:
    for media in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/"):
        headers = {"content-type": media}
        answer = await api.call("admin-a", operation.method, operation.path(), content=b'{"a": 1}', headers=headers)
        refused(answer, "unsupported-media-type", "not-found")
    headers = {**media_of(operation), "content-encoding": "gzip"}
    answer = await api.call("admin-a", operation.method, operation.path(), content=b"\x1f\x8b\x08", headers=headers)
    refused(answer, "unsupported-media-type", "malformed", "not-found")


HOSTILE_TEXTS = ["\x00", "a\x00b", "a\nb", "\x1b[2J", "\ud7ff\x85", "x" * 3000, "%00", "' OR ''='", "\\", "\u202e"]


async def test_no_text_in_a_query_breaks_anything(api: Api, subtests: pytest.Subtests) -> None:
    for operation in operations():
        names = [one["name"] for one in operation.described["parameters"] if one["in"] == "query"]
        for name, text in itertools.product(names, HOSTILE_TEXTS):
            with subtests.test(f"{operation} {name} {ascii(text)[:20]}"):
                answer = await api.call("admin-a", operation.method, operation.path(), params={name: text})
                if answer.status_code != 200:
                    refused(answer, "invalid", "not-found")


HOSTILE_PARTS = [
    b"..",
    b"%2e%2e",
    b"..%2f..%2fteam-b",
    b"..%2Fteam-b%2Ftasks",
    b"%2e%2e%2f%2e%2e%2fteam-b%2ftasks%2fx",
    b"%252e%252e%252f",
    b"x%2fy",
    b"x%5cy",
    b"a%00b",
    b"a%0ab",
    b"a%0d%0aX-Injected:%201",
    b"%ff%fe",
    b"%c0%ae%c0%ae",
    b"%",
    b"%zz",
    b"%u002e",
    b"t\xd0\xb0sk",  # a Cyrillic letter that looks like another, as bytes
    b"t%D0%B0sk",
    b"%EF%BC%AE%EF%BC%A1",  # full-width letters
    b"%E2%80%AEksat",  # right-to-left override
    b"a" * 300,
    b"A",
    b"a_b",
    b"-a",
    b"a;b=c",
    b"a'--",
    b"$%7B7*7%7D",
    b"*",
    b"",
    b".",
    b"%20",
    b"a" * 20_000,
]


def test_a_path_with_what_is_no_name_gets_nowhere(served: Served) -> None:
    for part in HOSTILE_PARTS:
        for target in (
            b"/v1/namespaces/%s/tasks" % part,
            b"/v1/namespaces/team-a/tasks/%s" % part,
            b"/v1/namespaces/team-a/runs/%s" % part,
            b"/v1/namespaces/team-a/tasks/%s/preview" % part,
            b"/v1/namespaces/team-a/%s" % part,
        ):
            answer = served.get(target)
            assert answer.status in {400, 403, 404, 405, 414, 422, 431}, (target[:200], answer.status, answer.body)
            assert b"X-Injected" not in answer.body or b"\r\n" not in answer.body
            assert "x-injected" not in answer.headers
    assert served.is_well()


def test_a_path_never_leads_out_of_its_namespace(served: Served) -> None:
    """Whatever a path is made of, what it reaches is judged by the namespace that the route sees."""
    for target in (
        b"/v1/namespaces/team-a/../team-b/tasks",
        b"/v1/namespaces/team-a/%2e%2e/team-b/tasks",
        b"/v1/namespaces/team-a%2f..%2fteam-b/tasks",
        b"/v1/namespaces/team-a//../team-b/tasks",
        b"//v1/namespaces/team-b/tasks",
        b"/v1/namespaces/team-b/tasks?namespace=team-a",
        b"/v1/namespaces/team-b/tasks#/../../team-a",
        b"http://x/v1/namespaces/team-b/tasks",
        b"/v1/namespaces/TEAM-A/tasks",
        b"/v1/namespaces/team-b/tasks;team-a",
        b"/V1/namespaces/team-a/tasks",
    ):
        assert served.get(target).status in {400, 403, 404, 422}, target
    assert served.get(b"/v1/namespaces/team-a/tasks").status == 200


MALFORMED = {
    "length and chunks": [b"Content-Length: 4", b"Transfer-Encoding: chunked"],
    "two lengths": [b"Content-Length: 4", b"Content-Length: 5"],
    "negative length": [b"Content-Length: -1"],
    "length in words": [b"Content-Length: four"],
    "length of 10^30": [b"Content-Length: 1" + b"0" * 30],
    "length with a plus": [b"Content-Length: +4"],
    "unknown coding": [b"Transfer-Encoding: chunkedd"],
    "space before the colon": [b"Content-Length : 4"],
    "header without a name": [b": value"],
    "line folding": [b"X-Fold: a", b" b"],
    "a bare line feed": [b"X-Break: a\nX-Injected: 1"],
    "a NUL": [b"X-Nul: a\x00b"],
    "100,000 bytes in a header": [b"X-Long: " + b"a" * 100_000],
    "2,000 headers": [b"X-Many-%d: a" % number for number in range(2000)],
}


def test_what_is_no_http_is_refused_or_taken_at_its_word(served: Served, subtests: pytest.Subtests) -> None:
    """Behind a proxy that reads such a request in another way, it would be two requests."""
    for name, headers in MALFORMED.items():
        with subtests.test(name):
            head = served.request(b"/v1/namespaces/team-a/tasks/x", *headers, method=b"PUT")
            answer = served.send(head, b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
            assert 400 <= answer.status < 500 or answer.status == 0, (answer.status, answer.body)
            assert b"smuggled" not in answer.body
            assert served.is_well()


def test_two_tokens_or_a_token_with_a_line_break_are_refused_on_the_wire(served: Served) -> None:
    token = served.access.tokens["admin-a"].encode()
    target = b"GET /v1/namespaces/team-a/tasks HTTP/1.1"
    assert served.send(lines([target, b"Host: x", b"Authorization: Bearer " + token])).status == 200
    for headers in (
        [b"Authorization: Bearer " + token, b"Authorization: Bearer " + token],
        [b"Authorization: Bearer nothing", b"Authorization: Bearer " + token],
        [b"authorization: Bearer " + token, b"AUTHORIZATION: Bearer nothing"],
        [b"Authorization: Bearer " + token + b"\n"],
        [b"Authorization: Bearer", b" " + token],
        [b"Authorization:\tBearer\t" + token],
        [b"Authorization: Bearer " + token + b"\x0b"],
    ):
        answer = served.send(lines([target, b"Host: x", *headers]))
        assert answer.status in {400, 401}, (headers, answer.status, answer.body)
        assert token not in answer.body
    assert served.is_well()


@pytest.fixture
def held() -> Iterator[ExitStack]:
    """Connections that a test leaves open."""
    with ExitStack() as stack:
        yield stack


def test_connections_that_say_nothing_or_little_hold_up_nobody(served: Served, held: ExitStack) -> None:
    for number in range(200):
        idle = held.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=10))
        if number % 2:
            idle.sendall(b"PUT /v1/namespaces/team-a/tasks/x HTTP/1.1\r\nHost: x\r\n")
    token = f"Authorization: Bearer {served.access.tokens['admin-a']}".encode()
    for _ in range(50):
        waiting = held.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=10))
        head = [b"PUT /v1/namespaces/team-a/tasks/x HTTP/1.1", b"Host: x", token, b"Content-Length: 100"]
        waiting.sendall(lines([*head, b"Content-Type: application/json"]) + b"{")
    for _ in range(20):
        assert served.call("admin-a", "GET", path_of("tasks")).status_code == 200
    assert served.is_well()


def test_what_is_read_of_a_request_that_breaks_off_changes_nothing(served: Served) -> None:
    document = {"apiVersion": "ordinaut.io/v1alpha1", "kind": "Task", "metadata": {"name": "cut"}, "spec": {}}
    whole = json.dumps(document).encode()
    for sent in (0, 1, len(whole) // 2, len(whole) - 1):
        with socket.create_connection(("127.0.0.1", served.port), timeout=10) as connection:
            token = f"Authorization: Bearer {served.access.tokens['admin-a']}".encode()
            head = [f"PUT /v1/namespaces/{OURS}/tasks/cut HTTP/1.1".encode(), b"Host: x", token, JSON_LINE]
            connection.sendall(lines([*head, b"Content-Length: %d" % len(whole)]) + whole[:sent])
    assert served.call("admin-a", "GET", path_of("tasks", "cut")).status_code == 404
    assert served.is_well()


def test_many_requests_on_one_connection_are_answered_in_their_order(served: Served) -> None:
    head = [b"Host: x", f"Authorization: Bearer {served.access.tokens['admin-a']}".encode()]
    targets = [b"GET /v1/namespaces/team-a/tasks/t%d HTTP/1.1" % number for number in range(50)]
    with socket.create_connection(("127.0.0.1", served.port), timeout=20) as connection:
        connection.sendall(b"".join(lines([target, *head]) for target in targets))
        answers = read(connection, len(targets))
    assert [answer.status for answer in answers] == [404] * len(targets)
    assert all(b"t%d " % number in answer.body for number, answer in enumerate(answers))


def test_the_public_port_shows_nothing_but_the_api(served: Served) -> None:
    for path in ("/metrics", "/readyz", "/docs", "/redoc", "/", "/v1", "/.git/config", "/debug", "/admin"):
        for who in (None, "admin-a"):
            assert served.call(who, "GET", path).status_code == 404, path
    assert served.call(None, "GET", "/healthz").json() == {"status": "alive"}
    assert served.call(None, "GET", "/openapi.json").status_code == 200


JSON_LINE = b"Content-Type: application/json"

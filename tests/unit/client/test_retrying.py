"""When requests are sent again: the decision by itself, and what is sent, against a transport that the test plays."""

from collections.abc import Callable, Iterable

import httpx2
import pytest

from ordinaut.client import (
    Client,
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
    Retries,
    Unauthenticated,
    Unavailable,
    Unreachable,
    WrongName,
)
from ordinaut.client.connection import retry_after
from ordinaut.client.reading import as_sent
from ordinaut.client.retrying import Outcome

MANIFEST = {"apiVersion": "ordinaut.io/v1alpha1", "kind": "Task", "metadata": {"name": "hello"}, "spec": {}}
ANSWER = {"metadata": {"name": "hello"}}
NOW = Retries(first=0.0)

Step = httpx2.Response | type[httpx2.TransportError]


def problem(status: int, slug: str, **headers: str) -> httpx2.Response:
    body = {"type": f"urn:ordinaut:problem:{slug}", "status": status, "detail": f"it is {slug}"}
    return httpx2.Response(status, json=body, headers={name.replace("_", "-"): text for name, text in headers.items()})


class Played(httpx2.AsyncBaseTransport):
    """Answers requests one after the other, and remembers them."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        step = self._steps.pop(0)
        if isinstance(step, httpx2.Response):
            return step
        raise step("played")

    @property
    def left(self) -> int:
        return len(self._steps)


def client(transport: Played, *, retries: Retries = NOW, token: str | None = None) -> Client:
    return Client("http://ordinaut.test", transport=transport, retries=retries, token=token, read=as_sent)


OK = httpx2.Response(200, json=ANSWER)


@pytest.mark.parametrize(
    ("outcome", "tries", "repeatable", "asked", "expected"),
    [
        (Outcome.FINAL, 1, True, None, None),
        (Outcome.NOT_DONE, 1, False, None, 0.75),
        (Outcome.UNSURE, 1, False, None, None),
        (Outcome.UNSURE, 1, True, None, 0.75),
        (Outcome.UNSURE, 2, True, None, 1.5),
        (Outcome.UNSURE, 3, True, None, 1.875),
        (Outcome.UNSURE, 4, True, None, None),
        (Outcome.NOT_DONE, 1, False, 10.0, 10.075),
        (Outcome.NOT_DONE, 1, False, 20.1, None),
    ],
)
def test_the_next_try_comes_later_each_time_never_before_it_was_asked_for(
    outcome: Outcome, tries: int, repeatable: bool, asked: float | None, expected: float | None
) -> None:
    retries = Retries(limit=3, first=1.0, cap=2.5, patience=20.0)
    found = retries.delay(outcome, tries=tries, repeatable=repeatable, asked=asked, draw=lambda: 0.5)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("first", [httpx2.ConnectError, httpx2.ReadError, httpx2.ReadTimeout, 502, 503, 504, 429])
async def test_reading_is_tried_again(first: int | type[httpx2.TransportError]) -> None:
    step = httpx2.Response(first, headers={"Retry-After": "0"}) if isinstance(first, int) else first
    transport = Played(step, OK)
    async with client(transport) as ordinaut:
        assert await ordinaut.tasks.get("hello") == ANSWER
    assert transport.left == 0


async def test_a_post_is_sent_again_with_the_same_key_and_every_post_has_another() -> None:
    transport = Played(httpx2.ReadError, problem(503, "unavailable"), OK, OK)
    async with client(transport) as ordinaut:
        await ordinaut.tasks.run("hello")
        await ordinaut.tasks.run("hello")
    *first, second = [request.headers["Idempotency-Key"] for request in transport.requests]
    assert len(set(first)) == 1
    assert second not in first


async def test_every_post_has_a_key() -> None:
    calls: list[Callable[[Client], object]] = [
        lambda one: one.tasks.create(MANIFEST),
        lambda one: one.tasks.create_many([MANIFEST]),
        lambda one: one.tasks.run("hello"),
        lambda one: one.tasks.pause("hello"),
        lambda one: one.tasks.resume("hello"),
        lambda one: one.tasks.snooze("hello", for_="1h"),
        lambda one: one.pipelines.create(MANIFEST),
        lambda one: one.runs.cancel("r"),
        lambda one: one.runs.retry("r"),
        lambda one: one.events.publish_many([{"type": "a.b"}]),
    ]
    transport = Played(*(httpx2.Response(200, json={"ids": ["1"]}) for _ in calls))
    async with client(transport) as ordinaut:
        for call in calls:
            await call(ordinaut)  # type: ignore[misc]
    assert all(request.method == "POST" and request.headers["Idempotency-Key"] for request in transport.requests)


async def test_what_may_have_been_done_under_a_condition_is_not_done_again() -> None:
    transport = Played(httpx2.ReadError)
    async with client(transport) as ordinaut:
        with pytest.raises(Unreachable, match=r"cannot reach the API at http://ordinaut.test"):
            await ordinaut.tasks.put(MANIFEST, if_match='"u.1"')
    assert transport.requests[0].headers["If-Match"] == '"u.1"'


async def test_what_surely_was_not_done_is_done_again_also_under_a_condition() -> None:
    transport = Played(httpx2.ConnectError, problem(429, "rate-limited", Retry_After="0"), OK)
    async with client(transport) as ordinaut:
        await ordinaut.tasks.put(MANIFEST, if_match='"u.1"')
    assert transport.left == 0


async def test_an_object_is_its_own_condition() -> None:
    transport = Played(OK)
    async with client(transport) as ordinaut:
        await ordinaut.tasks.patch("hello", {}, if_match={"metadata": {"uid": "u", "resourceVersion": "3"}})
    assert transport.requests[0].headers["If-Match"] == '"u.3"'
    assert transport.requests[0].headers["Content-Type"] == "application/merge-patch+json"


async def test_a_delete_whose_answer_was_lost_has_succeeded_when_nothing_is_left() -> None:
    transport = Played(httpx2.ReadError, problem(404, "not-found"), problem(404, "not-found"))
    async with client(transport) as ordinaut:
        await ordinaut.tasks.delete("hello")
        with pytest.raises(NotFound):
            await ordinaut.tasks.delete("hello")


async def test_it_gives_up_in_the_end_with_the_last_error() -> None:
    transport = Played(*[httpx2.ConnectError] * 3)
    async with client(transport, retries=Retries(limit=2, first=0.0)) as ordinaut:
        with pytest.raises(Unreachable):
            await ordinaut.tasks.get("hello")
    assert transport.left == 0


async def test_who_is_asked_to_wait_for_too_long_learns_it_at_once() -> None:
    transport = Played(problem(429, "rate-limited", Retry_After="3600"))
    async with client(transport) as ordinaut:
        with pytest.raises(RateLimited) as limited:
            await ordinaut.tasks.get("hello")
    assert limited.value.retry_after == 3600


@pytest.mark.parametrize(
    ("status", "slug", "kind"),
    [
        (400, "malformed", Invalid),
        (401, "unauthenticated", Unauthenticated),
        (403, "forbidden", Forbidden),
        (403, "quota-exceeded", QuotaExceeded),
        (404, "not-found", NotFound),
        (405, "method-not-allowed", ProblemError),
        (409, "conflict", Conflict),
        (409, "idempotency-conflict", KeyReused),
        (412, "precondition-failed", PreconditionFailed),
        (413, "too-large", Invalid),
        (422, "invalid", Invalid),
        (429, "rate-limited", RateLimited),
        (500, "internal", Unavailable),
        (503, "unavailable", Unavailable),
        (418, "of-the-future", ProblemError),
    ],
)
async def test_each_kind_of_problem_is_an_error_of_its_own(status: int, slug: str, kind: type[ProblemError]) -> None:
    async with client(Played(problem(status, slug)), retries=Retries(limit=0)) as ordinaut:
        with pytest.raises(ProblemError) as raised:
            await ordinaut.tasks.get("hello")
    assert type(raised.value) is kind
    assert raised.value.type == f"urn:ordinaut:problem:{slug}"
    assert str(raised.value) == f"it is {slug}"


@pytest.mark.parametrize(
    "answer",
    [
        httpx2.Response(200, text="<html>"),
        httpx2.Response(200, json=[]),
        httpx2.Response(404, text="<html>"),
        httpx2.Response(302, headers={"Location": "https://elsewhere.test"}),
    ],
)
async def test_somebody_elses_answer_is_told_from_the_apis(answer: httpx2.Response) -> None:
    async with client(Played(answer)) as ordinaut:
        with pytest.raises(NotTheApi):
            await ordinaut.tasks.get("hello")


class Rotating:
    """Gives other tokens once the first was refused."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = list(tokens)

    async def token(self) -> str:
        return self._tokens[0]

    def refused(self, token: str) -> None:
        if len(self._tokens) > 1 and token == self._tokens[0]:
            self._tokens.pop(0)


@pytest.mark.parametrize(
    ("tokens", "asked"), [(["old", "new"], ["Bearer old", "Bearer new"]), (["only"], ["Bearer only"])]
)
async def test_a_refused_token_is_replaced_once_if_there_is_another(tokens: Iterable[str], asked: list[str]) -> None:
    transport = Played(*(problem(401, "unauthenticated") for _ in asked))
    async with Client(
        "http://ordinaut.test", transport=transport, retries=NOW, token=Rotating(*tokens), read=as_sent
    ) as ordinaut:
        with pytest.raises(Unauthenticated):
            await ordinaut.tasks.get("hello")
    assert [request.headers["Authorization"] for request in transport.requests] == asked


async def test_no_error_holds_the_token() -> None:
    secret = "canary-19ab"
    for step in (httpx2.ReadError, problem(403, "forbidden"), httpx2.Response(200, text="no")):
        async with client(Played(step), retries=Retries(limit=0), token=secret) as ordinaut:
            with pytest.raises(Exception) as raised:  # noqa: PT011 - whichever it is
                await ordinaut.tasks.get("hello")
        error: BaseException | None = raised.value
        while error:
            assert secret not in repr(error) + repr(vars(error))
            error = error.__cause__ or error.__context__


@pytest.mark.parametrize("name", ["", ".", ".."])
async def test_a_name_leads_to_no_other_path(name: str) -> None:
    async with client(Played()) as ordinaut:
        with pytest.raises(WrongName):
            await ordinaut.tasks.delete(name)


async def test_strange_names_stay_one_segment() -> None:
    transport = Played(OK)
    async with client(transport) as ordinaut:
        await ordinaut.tasks.get("../runs?a=1#b%2f")
    assert transport.requests[0].url.raw_path == b"/v1/namespaces/default/tasks/..%2Fruns%3Fa%3D1%23b%252f"


@pytest.mark.parametrize(
    "url", ["ftp://a", "nonsense", "", "http://", "http://user:word@host", "http://host?x=1", "http://host#x"]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - each has its own words
        Client(url)


@pytest.mark.parametrize(("text", "seconds"), [("7", 7.0), ("soon", None), (None, None), ("-1", None)])
def test_the_wait_that_is_asked_for_is_read(text: str | None, seconds: float | None) -> None:
    assert retry_after(text) == seconds


def test_the_wait_can_also_be_a_date() -> None:
    assert retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0

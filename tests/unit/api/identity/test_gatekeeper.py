"""One authority decides about a token, failures are limited, and whoever can't be asked lets nobody in."""

from typing import Any

import pytest
from starlette.datastructures import Headers

from ordinaut.access.caller import LOCAL, Authority, Caller
from ordinaut.access.rights import Right
from ordinaut_api.identity.authority import AuthorityAway
from ordinaut_api.identity.gatekeeper import Identities, Open, network_of
from ordinaut_api.identity.remembered import Answer, Remembered
from ordinaut_api.identity.windows import Windows
from ordinaut_api.problems import ProblemError

SEE = Right("list", "tasks")


class Clock:
    now = 6000.0

    def __call__(self) -> float:
        return self.now


class Vouching:
    """An authority that knows some tokens, claims those with a prefix, and remembers what it was asked."""

    def __init__(self, prefix: str, *known: str, authority: Authority = Authority.KUBERNETES) -> None:
        self._prefix = prefix
        self._known = known
        self._authority = authority
        self.at_hand = False
        self.asked: list[str] = []
        self.away = False

    def claims(self, token: str) -> bool:
        return token.startswith(self._prefix)

    async def ask(self, token: str) -> Answer[Caller | None]:
        self.asked.append(token)
        if self.away:
            raise AuthorityAway("It is away.")
        return Answer(Caller(self._authority, token) if token in self._known else None, 60)

    async def allows(self, caller: Caller, right: Right, *, namespace: str) -> bool:  # noqa: ARG002 - the protocol
        if self.away:
            raise AuthorityAway("It is away.")
        return caller.user in self._known


@pytest.fixture
def clock() -> Clock:
    return Clock()


def gatekeeper(clock: Clock, *authorities: Vouching, failures: int = 3, **authorizers: Any) -> Identities:
    return Identities(
        authenticators=authorities,
        authorizers={Authority(name): one for name, one in authorizers.items()},
        failures=Windows(failures, clock=clock),
        remembered=Remembered(clock=clock),
    )


async def ask(keeper: Identities, token: str | None, *, peer: str = "192.0.2.1") -> Caller | int:
    """Return the caller, or the status of the refusal."""
    headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    try:
        return await keeper.authenticate(Headers(raw=headers), peer=peer)
    except ProblemError as error:
        return error.problem.status


async def test_what_one_authority_refuses_is_tried_with_no_other(clock: Clock) -> None:
    first, second = Vouching("a", "a1"), Vouching("", "a1", "a2", "b1")
    keeper = gatekeeper(clock, first, second)
    assert await ask(keeper, "a1") == Caller(Authority.KUBERNETES, "a1")
    assert await ask(keeper, "a2") == 401
    assert await ask(keeper, "b1") == Caller(Authority.KUBERNETES, "b1")
    assert second.asked == ["b1"]


async def test_a_token_that_nobody_claims_is_refused(clock: Clock) -> None:
    assert await ask(gatekeeper(clock, Vouching("a")), "b") == 401
    assert await ask(gatekeeper(clock), "b") == 401


async def test_answers_are_remembered(clock: Clock) -> None:
    authority = Vouching("", "good")
    keeper = gatekeeper(clock, authority, failures=100)
    for _ in range(5):
        assert isinstance(await ask(keeper, "good"), Caller)
        assert await ask(keeper, "bad") == 401
    assert authority.asked == ["good", "bad"]


async def test_an_authority_with_its_answers_at_hand_is_asked_each_time(clock: Clock) -> None:
    authority = Vouching("", "good")
    authority.at_hand = True
    keeper = gatekeeper(clock, authority)
    assert isinstance(await ask(keeper, "good"), Caller)
    authority._known = ()
    assert await ask(keeper, "good") == 401


async def test_an_address_with_many_failures_waits_but_not_those_already_known_there(clock: Clock) -> None:
    authority = Vouching("", "known", "new")
    keeper = gatekeeper(clock, authority)
    assert isinstance(await ask(keeper, "known"), Caller)
    assert [await ask(keeper, f"bad{number}") for number in range(5)] == [401, 401, 401, 429, 429]
    assert len(authority.asked) == 4
    assert await ask(keeper, None) == 429
    assert await ask(keeper, "new") == 429
    assert isinstance(await ask(keeper, "known"), Caller)
    assert isinstance(await ask(keeper, "new", peer="192.0.2.2"), Caller)
    clock.now += 125
    assert isinstance(await ask(keeper, "new"), Caller)


async def test_the_wait_is_told(clock: Clock) -> None:
    keeper = gatekeeper(clock, failures=1)
    await ask(keeper, None)
    with pytest.raises(ProblemError) as refused:
        await keeper.authenticate(Headers(), peer="192.0.2.1")
    assert 1 <= int(refused.value.problem.headers["Retry-After"]) <= 120


def test_one_customer_of_ipv6_is_one_address() -> None:
    assert network_of("2001:db8::1") == network_of("2001:db8::ffff:1") != network_of("2001:db8:0:1::1")
    assert network_of("192.0.2.1") != network_of("192.0.2.2")
    assert network_of("") == ""


async def test_an_authority_that_is_away_lets_nobody_in_and_that_is_no_failure_of_the_caller(clock: Clock) -> None:
    authority = Vouching("", "known", "new")
    keeper = gatekeeper(clock, authority, kubernetes=authority)
    known = await ask(keeper, "known")
    assert isinstance(known, Caller)
    authority.away = True
    assert [await ask(keeper, "new") for _ in range(10)] == [503] * 10
    assert isinstance(await ask(keeper, "known"), Caller)
    with pytest.raises(ProblemError) as refused:
        await keeper.allows(known, SEE, namespace="a")
    assert refused.value.problem.status == 503
    assert refused.value.problem.headers["Retry-After"]
    clock.now += 61
    assert await ask(keeper, "known") == 503


async def test_rights_are_those_of_the_callers_own_authority(clock: Clock) -> None:
    keeper = gatekeeper(clock, tokens=Vouching("", "ada"))
    assert await keeper.allows(Caller(Authority.TOKENS, "ada"), SEE, namespace="a")
    assert not await keeper.allows(Caller(Authority.KUBERNETES, "ada"), SEE, namespace="a")
    assert not await keeper.allows(LOCAL, SEE, namespace="a")


async def test_the_open_door_is_for_everybody_on_this_machine() -> None:
    assert await Open().authenticate(Headers(), peer="") == LOCAL
    assert await Open().allows(LOCAL, SEE, namespace="a")

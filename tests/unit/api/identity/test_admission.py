"""What a caller may ask for in a minute, and which of its denials are written down."""

import re

import pytest

from ordinaut.access.caller import Authority, Caller
from ordinaut.access.rights import Right
from ordinaut_api.identity.admission import Admission, Denials

ADA, BOB = Caller(Authority.TOKENS, "ada"), Caller(Authority.TOKENS, "bob")
SEE = Right("list", "tasks")


class Clock:
    now = 6000.0

    def __call__(self) -> float:
        return self.now


def said(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


def test_a_caller_is_limited_in_each_namespace_and_in_all() -> None:
    admission = Admission(5, clock=Clock())
    assert [admission.admit(ADA, namespace="a").allowed for _ in range(6)] == [True] * 5 + [False]
    assert admission.admit(BOB, namespace="a").allowed
    # Namespaces that do not exist cost nothing to make up.
    assert sum(admission.admit(ADA, namespace=f"n{number}").allowed for number in range(100)) == 44
    refused = admission.admit(ADA, namespace=None)
    assert not refused.allowed
    assert refused.seconds >= 1


def test_callers_of_two_authorities_are_two() -> None:
    admission = Admission(1, clock=Clock())
    assert admission.admit(ADA, namespace="a").allowed
    assert admission.admit(Caller(Authority.OIDC, "ada"), namespace="a").allowed
    assert not admission.admit(Caller(Authority.TOKENS, "ada", groups=("new",)), namespace="a").allowed


def test_the_headers_say_how_the_caller_stands() -> None:
    admission = Admission(5, clock=Clock())
    headers = said(admission.admit(ADA, namespace="a").headers)
    assert headers == {
        "ratelimit-policy": '"namespace";q=5;w=60, "caller";q=50;w=60',
        "ratelimit": '"namespace";r=4;t=60',
    }
    assert re.fullmatch(r'"caller";r=48;t=60', said(admission.admit(ADA, namespace=None).headers)["ratelimit"])


def test_without_a_limit_nothing_is_said() -> None:
    admission = Admission(0)
    assert all(admission.admit(ADA, namespace="a").allowed for _ in range(10_000))
    assert admission.admit(ADA, namespace="a").headers == []


def test_the_same_denial_is_written_once_in_ten_seconds() -> None:
    clock = Clock()
    denials = Denials(clock=clock)

    def audited(caller: Caller = ADA, right: Right = SEE, namespace: str = "a") -> bool:
        return denials.is_audited(caller, right, namespace=namespace)

    assert [audited() for _ in range(5)] == [True, False, False, False, False]
    assert audited(caller=BOB)
    assert audited(right=Right("get", "tasks"))
    assert audited(namespace="b")
    clock.now += 9.9
    assert not audited()
    clock.now += 0.2
    assert audited()


def test_one_caller_can_not_flood_the_audit_trail_with_namespaces() -> None:
    denials = Denials(clock=Clock())
    assert sum(denials.is_audited(ADA, SEE, namespace=f"n{number}") for number in range(5000)) == 60
    assert denials.is_audited(BOB, SEE, namespace="n1")


def test_a_denial_that_could_not_be_written_is_written_the_next_time() -> None:
    denials = Denials(clock=Clock())
    assert denials.is_audited(ADA, SEE, namespace="a")
    with pytest.raises(OSError, match="away"), denials.written(ADA, SEE, namespace="a"):
        raise OSError("away")
    assert denials.is_audited(ADA, SEE, namespace="a")

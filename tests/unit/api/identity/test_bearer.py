"""The Authorization header is read strictly: one header, one token, nothing around it."""

import pytest
from starlette.datastructures import Headers

from ordinaut_api.identity.bearer import token_of, unauthenticated, unverified_claims


def read(*values: str) -> str | None:
    return token_of(Headers(raw=[(b"authorization", value.encode("latin-1")) for value in values]))


@pytest.mark.parametrize("token", ["a", "ordt_A-z0", "a.b.c", "A+/~._-9", "YWJj==", "x" * 16_000])
def test_a_token_is_read_whatever_the_case_of_the_scheme(token: str) -> None:
    for scheme in ("Bearer", "bearer", "BEARER"):
        assert read(f"{scheme} {token}") == token


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer  a",
        "Bearer\ta",
        " Bearer a",
        "Bearer a ",
        "Bearer a\n",
        "Bearer a\r\nX: 1",
        "Bearer a\x00",
        "Bearer a b",
        "Bearer a,b",
        "Bearer a, Bearer b",
        'Bearer "a"',
        "Bearer a=b",
        "Bearer =",
        "Bearer ä",
        "Basic YTpi",
        "Token a",
        "a",
        "Bearer " + "x" * 16_384,
    ],
)
def test_anything_else_is_no_token(value: str) -> None:
    assert read(value) is None


def test_two_headers_are_none_even_if_both_are_good() -> None:
    assert read() is None
    assert read("Bearer a", "Bearer a") is None


def test_the_refusal_says_how_to_ask_and_nothing_else() -> None:
    problem = unauthenticated().problem
    assert problem.status == 401
    assert problem.headers == {"WWW-Authenticate": 'Bearer realm="ordinaut"'}


@pytest.mark.parametrize(
    "token",
    [
        "a",
        "a.b",
        "a.b.c.d",
        "a.e30.c.",
        "..",
        "a..c",
        "a.!.c",
        "a.W10.c",
        "a.MQ.c",
        "a." + "W1tb" * 4000 + ".c",
        "a.bm90.c",
    ],
)
def test_what_is_no_json_web_token_claims_nothing(token: str) -> None:
    assert unverified_claims(token) == {}


def test_claims_are_read_without_a_check() -> None:
    assert unverified_claims("a.eyJpc3MiOiAieCJ9.c") == {"iss": "x"}

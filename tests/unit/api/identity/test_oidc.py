"""Tokens of an OpenID Connect issuer: the good ones name their bearer, and nothing else gets in."""

import base64
import hashlib
import hmac
import time
from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from structlog.testing import capture_logs

from ordinaut.access.caller import Authority, Caller
from ordinaut_api.identity.authority import AuthorityAway
from ordinaut_api.identity.issuerkeys import IssuerKeys
from ordinaut_api.identity.oidc import OidcTokens
from tests.unit.api.identity.issuer import AUDIENCE, Issuer, Key, issuing, raw

RSA = Key("rsa-1")
EC = Key("ec-1", "ES256")
ED = Key("ed-1", "EdDSA")
STRANGER = Key("rsa-1")  # the same id, another key


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with issuing() as issuer:
        issuer.keys = [RSA.public, EC.public, ED.public]
        yield issuer


@pytest.fixture
async def tokens(issuer: Issuer, clock: Clock) -> AsyncIterator[OidcTokens]:
    async with IssuerKeys(issuer.url, clock=clock) as keys:
        yield OidcTokens(keys, issuer=issuer.url, audience=AUDIENCE)


async def caller_of(tokens: OidcTokens, token: str) -> Caller | None:
    return (await tokens.ask(token)).value


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=lambda key: key.algorithm)
async def test_a_good_token_names_its_bearer(issuer: Issuer, tokens: OidcTokens, key: Key) -> None:
    token = issuer.token(key, groups=["ops", "dev", "ops"])
    assert tokens.claims(token)
    assert await caller_of(tokens, token) == Caller(Authority.OIDC, "ada", groups=("dev", "ops"))


async def test_a_good_answer_holds_a_minute_and_never_longer_than_the_token(issuer: Issuer, tokens: OidcTokens) -> None:
    assert (await tokens.ask(issuer.token(RSA))).seconds == 60
    assert 5 < (await tokens.ask(issuer.token(RSA, exp=int(time.time()) + 20))).seconds <= 20
    # Within the leeway it is good, for this request only.
    late = await tokens.ask(issuer.token(RSA, exp=int(time.time()) - 10))
    assert late.value is not None
    assert late.seconds < 0


# Ids of tests must be the same in every process that collects them, so no time of now is in there.
@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "other"},
        {"aud": ["other", "another"]},
        {"aud": None},
        {"aud": [["ordinaut"]]},
        {"iss": "https://issuer.example"},
        {"iss": None},
        {"exp": 1_000_000_000},
        {"exp": None},
        {"exp": "soon"},
        {"exp": [1]},
        {"exp": 1e400},
        {"nbf": 4_000_000_000},
        {"sub": None},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a\nb"},
        {"sub": "x" * 254},
        {"groups": [f"g{number}" for number in range(501)]},
    ],
    ids=str,
)
async def test_a_signed_token_with_wrong_claims_is_nobodys(
    issuer: Issuer, tokens: OidcTokens, claims: dict[str, Any]
) -> None:
    header = {"alg": "RS256", "kid": RSA.id}
    given = {"iss": issuer.url, "aud": AUDIENCE, "sub": "ada", "exp": int(time.time()) + 3600, **claims}
    kept = {name: value for name, value in given.items() if value is not None}
    unsigned = raw(header, kept).rpartition(".")[0]
    signer = jwt.get_algorithm_by_name("RS256")
    token = f"{unsigned}.{raw({}, {}, signer.sign(unsigned.encode(), RSA.private)).rpartition('.')[2]}"
    assert await caller_of(tokens, token) is None


async def test_groups_that_are_no_texts_are_none(issuer: Issuer, tokens: OidcTokens) -> None:
    for groups, expected in (("ops", ("ops",)), ({"ops": 1}, ()), (7, ()), ([1, None, "", "ops", ["x"]], ("ops",))):
        found = await caller_of(tokens, issuer.token(RSA, groups=groups))
        assert found is not None
        assert found.groups == expected


async def test_an_unsigned_token_is_nobodys(issuer: Issuer, tokens: OidcTokens) -> None:
    claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": "ada", "exp": int(time.time()) + 3600}
    for alg in ("none", "None", "NONE", "", None, [], {}):
        for signature in (b"", b"x"):
            assert await caller_of(tokens, raw({"alg": alg, "kid": RSA.id}, claims, signature)) is None


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_the_public_key_is_no_shared_secret(issuer: Issuer, tokens: OidcTokens, algorithm: str) -> None:
    claims = {"iss": issuer.url, "aud": AUDIENCE, "sub": "ada", "exp": int(time.time()) + 3600}
    unsigned = raw({"alg": algorithm, "kid": RSA.id}, claims).rpartition(".")[0]
    signature = hmac.new(RSA.pem, unsigned.encode(), getattr(hashlib, f"sha{algorithm[2:]}")).digest()
    token = f"{unsigned}.{raw({}, {}, signature).rpartition('.')[2]}"
    assert await caller_of(tokens, token) is None


async def test_a_key_signs_with_its_own_algorithm_only(issuer: Issuer, tokens: OidcTokens) -> None:
    for algorithm in ("RS384", "RS512", "PS256", "ES256", "EdDSA"):
        token = issuer.token(RSA)
        claims = token.split(".")[1]
        forged = f"{raw({'alg': algorithm, 'kid': RSA.id}, {}).split('.')[0]}.{claims}.{token.split('.')[2]}"
        assert await caller_of(tokens, forged) is None


async def test_a_token_of_another_key_or_changed_on_the_way_is_nobodys(issuer: Issuer, tokens: OidcTokens) -> None:
    assert await caller_of(tokens, issuer.token(STRANGER)) is None
    head, claims, signature = issuer.token(RSA).split(".")
    other = issuer.token(RSA, sub="root").split(".")[1]
    assert await caller_of(tokens, f"{head}.{other}.{signature}") is None
    assert await caller_of(tokens, f"{head}.{claims}.{signature[:-4]}AAAA") is None


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"kid": None},
        {"kid": "unknown"},
        {"kid": "../../keys"},
        {"jku": "x", "kid": "x"},
    ],
    ids=str,
)
async def test_headers_that_lead_elsewhere_are_refused(
    issuer: Issuer, tokens: OidcTokens, header: dict[str, Any]
) -> None:
    if header.get("kid", "") is None:  # one RSA key is there: which is meant is clear without an id
        issuer.keys.append(Key("rsa-2").public)
    try:
        token = issuer.token(RSA, header=header)
    except Exception:  # the library refuses to write it
        token = raw({"alg": "RS256", **header}, {"iss": issuer.url}, b"x")
    assert await caller_of(tokens, token) is None


@pytest.mark.parametrize("head", [b"[" * 8000, b"{" * 8000, b"null", b"[]", b"7", b"\xff", b""])
async def test_a_header_that_is_no_object_is_refused(tokens: OidcTokens, head: bytes) -> None:
    text = base64.urlsafe_b64encode(head).rstrip(b"=").decode()
    assert await caller_of(tokens, f"{text}.e30.AAAA") is None


async def test_a_new_key_is_found_and_an_old_one_ends(issuer: Issuer, tokens: OidcTokens, clock: Clock) -> None:
    assert await caller_of(tokens, issuer.token(RSA))
    new = Key("rsa-new")
    issuer.keys = [new.public]
    clock.now += 61
    assert await caller_of(tokens, issuer.token(new))
    assert await caller_of(tokens, issuer.token(RSA)) is None


async def test_made_up_key_ids_make_us_ask_once_a_minute(issuer: Issuer, tokens: OidcTokens, clock: Clock) -> None:
    assert await caller_of(tokens, issuer.token(RSA))
    for _ in range(5):
        for number in range(20):
            assert await caller_of(tokens, issuer.token(STRANGER, header={"kid": f"made-up-{number}"})) is None
        clock.now += 61
    assert issuer.fetches <= 6


async def test_keys_are_fetched_again_after_ten_minutes(issuer: Issuer, tokens: OidcTokens, clock: Clock) -> None:
    assert await caller_of(tokens, issuer.token(RSA))
    issuer.keys = [EC.public]
    clock.now += 601
    assert await caller_of(tokens, issuer.token(RSA)) is None


async def test_an_issuer_that_is_away_changes_nothing_for_an_hour(
    issuer: Issuer, tokens: OidcTokens, clock: Clock
) -> None:
    assert await caller_of(tokens, issuer.token(RSA))
    issuer.away = True
    clock.now += 3599
    assert await caller_of(tokens, issuer.token(RSA))
    clock.now += 2
    with pytest.raises(AuthorityAway):
        await tokens.ask(issuer.token(RSA))
    issuer.away = False
    clock.now += 61
    assert await caller_of(tokens, issuer.token(RSA))


async def test_an_issuer_that_was_never_there_lets_nobody_in(issuer: Issuer, tokens: OidcTokens, clock: Clock) -> None:
    issuer.away = True
    with pytest.raises(AuthorityAway), capture_logs() as logs:
        await tokens.ask(issuer.token(RSA))
    assert "status 503" in logs[0]["why"]
    issuer.away = False
    clock.now += 3
    assert await caller_of(tokens, issuer.token(RSA))


@pytest.mark.parametrize(
    "discovery",
    [
        {"issuer": "https://other.example"},
        {"issuer": None},
        {"jwks_uri": "http://keys.example/keys"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": None},
        {"jwks_uri": "{url}/elsewhere"},
        {"jwks_uri": "{url}/huge"},
        {"jwks_uri": "{url}/nothing"},
    ],
    ids=str,
)
async def test_keys_are_taken_from_the_issuer_only(
    issuer: Issuer, tokens: OidcTokens, discovery: dict[str, str | None]
) -> None:
    issuer.discovery = {name: value and value.replace("{url}", issuer.url) for name, value in discovery.items()}
    with pytest.raises(AuthorityAway):
        await tokens.ask(issuer.token(RSA))


async def test_keys_that_are_not_for_signatures_are_left_out(issuer: Issuer, tokens: OidcTokens) -> None:
    weak = Key("weak", private=rsa.generate_private_key(public_exponent=65537, key_size=1024))
    secret = {"kty": "oct", "k": "c2VjcmV0", "kid": "oct", "alg": "HS256"}
    issuer.keys = [weak.public, secret, {**RSA.public, "use": "enc"}, {"kty": "RSA"}, {}, 7, EC.public]  # type: ignore[list-item]
    assert await caller_of(tokens, issuer.token(RSA)) is None
    assert await caller_of(tokens, issuer.token(EC))
    weakly = raw({"alg": "RS256", "kid": "weak"}, {"iss": issuer.url}, b"x")
    assert await caller_of(tokens, weakly) is None


async def test_an_address_must_be_verified_where_it_names_the_caller(issuer: Issuer) -> None:
    async with IssuerKeys(issuer.url) as keys:
        tokens = OidcTokens(keys, issuer=issuer.url, audience=AUDIENCE, username_claim="email")
        email = {"email": "ada@example.com"}
        assert await caller_of(tokens, issuer.token(RSA, **email))
        assert await caller_of(tokens, issuer.token(RSA, **email, email_verified=True))
        for verified in (False, "true", 0):
            assert await caller_of(tokens, issuer.token(RSA, **email, email_verified=verified)) is None

"""Signatures of the three styles, with the vectors of their own documentation."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from ordinaut_api.webhooks.doors import STYLES
from ordinaut_api.webhooks.styles import WINDOW, About, Claim, Style, github, is_signed, is_timely, standard, stripe
from tests import signing

STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
"""The vector of the libraries of Standard Webhooks."""

GITHUB_SECRET = "It's a Secret to Everybody"
GITHUB_BODY = b"Hello, World!"
GITHUB = {
    "x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    "x-github-delivery": "72d3162e-cc78-11e3-81ab-4c9367dc0958",
    "x-github-event": "push",
}
"""The vector of GitHub's documentation."""

STRIPE_SECRET = "whsec_test_secret"
STRIPE_BODY = b'{\n  "id": "evt_test_webhook",\n  "object": "event"\n}'
STRIPE_CODE = "4f1cd7feda9826e746b7d482c4badebb657398df1099e1046364f6196a230150"
STRIPE = {"stripe-signature": f"t=1700000000,v1={STRIPE_CODE},v0={'6f' * 32}"}
"""Payload and secret of the tests of Stripe's own library, signed by it (16.1.0); v0 is for tests of Stripe's own."""

VECTORS = [
    pytest.param(standard.STYLE, STANDARD_SECRET, STANDARD, STANDARD_BODY, id="Standard"),
    pytest.param(github.STYLE, GITHUB_SECRET, GITHUB, GITHUB_BODY, id="GitHub"),
    pytest.param(stripe.STYLE, STRIPE_SECRET, STRIPE, STRIPE_BODY, id="Stripe"),
]


def claim_of(style: Style, headers: dict[str, str]) -> Claim:
    claim = style.claim(Headers(headers))
    assert claim is not None
    return claim


@pytest.mark.parametrize(("style", "secret", "headers", "body"), VECTORS)
def test_the_vector_of_its_documentation_is_signed(
    style: Style, secret: str, headers: dict[str, str], body: bytes
) -> None:
    claim = claim_of(style, headers)

    assert is_signed(claim, body, keys=[style.key(secret)])
    assert is_signed(claim, body, keys=[b"another", style.key(secret)])


@pytest.mark.parametrize(("style", "secret", "headers", "body"), VECTORS)
def test_nothing_else_is(style: Style, secret: str, headers: dict[str, str], body: bytes) -> None:
    claim, key = claim_of(style, headers), style.key(secret)

    assert not is_signed(claim, body, keys=[])
    assert not is_signed(claim, body, keys=[key[:-1], b"\0" + key])
    assert not is_signed(claim, body + b" ", keys=[key])
    assert not is_signed(claim, b"", keys=[key])
    assert not is_signed(Claim(claim.prefix, (), claim.at), body, keys=[key])
    assert not is_signed(Claim(claim.prefix, (b"", claim.signatures[0][:-1]), claim.at), body, keys=[key])


@pytest.mark.parametrize(
    ("style", "headers", "name"),
    [(standard.STYLE, STANDARD, "webhook-id"), (standard.STYLE, STANDARD, "webhook-timestamp")],
)
def test_what_is_signed_beside_the_body_can_not_be_changed(style: Style, headers: dict[str, str], name: str) -> None:
    changed = claim_of(style, {**headers, name: headers[name].replace("5", "6")})

    assert not is_signed(changed, STANDARD_BODY, keys=[style.key(STANDARD_SECRET)])


def test_the_time_of_stripe_can_not_be_changed() -> None:
    changed = claim_of(stripe.STYLE, {"stripe-signature": f"t=1700000001,v1={STRIPE_CODE}"})

    assert not is_signed(changed, STRIPE_BODY, keys=[stripe.STYLE.key(STRIPE_SECRET)])


def test_a_signature_counts_beside_those_of_other_keys_and_versions() -> None:
    of_standard = {**STANDARD, "webhook-signature": f"v1a,c29tZQ== v1,b3RoZXI= {STANDARD['webhook-signature']} v1,*"}
    of_stripe = {"stripe-signature": f"t=1700000000, v1={'0' * 64}, v1={STRIPE_CODE}, v1=zz"}

    assert is_signed(claim_of(standard.STYLE, of_standard), STANDARD_BODY, keys=[standard.STYLE.key(STANDARD_SECRET)])
    assert is_signed(claim_of(stripe.STYLE, of_stripe), STRIPE_BODY, keys=[stripe.STYLE.key(STRIPE_SECRET)])


def test_only_hmac_of_sha_256_counts() -> None:
    code = STANDARD["webhook-signature"].removeprefix("v1,")

    assert claim_of(standard.STYLE, {**STANDARD, "webhook-signature": f"v1a,{code}"}).signatures == ()
    assert claim_of(stripe.STYLE, {"stripe-signature": f"t=1700000000,v0={STRIPE_CODE}"}).signatures == ()
    assert github.STYLE.claim(Headers({**GITHUB, "x-hub-signature-256": "sha1=" + "0" * 40})) is None


def test_the_headers_of_svix_are_taken_too() -> None:
    headers = {name.replace("webhook-", "svix-"): value for name, value in STANDARD.items()}

    assert is_signed(claim_of(standard.STYLE, headers), STANDARD_BODY, keys=[standard.STYLE.key(STANDARD_SECRET)])
    assert standard.STYLE.about(Headers(headers), {}).id == STANDARD["webhook-id"]


BROKEN: list[Any] = [
    *((standard.STYLE, {**STANDARD, name: value}) for name in STANDARD for value in ("", "x\ty") if "sig" not in name),
    (standard.STYLE, {**STANDARD, "webhook-timestamp": "-1614265330"}),
    (standard.STYLE, {**STANDARD, "webhook-timestamp": "1614265330.0"}),
    (standard.STYLE, {**STANDARD, "webhook-timestamp": "9" * 400}),
    (standard.STYLE, {**STANDARD, "webhook-timestamp": "١٦١٤٢٦٥٣٣٠".encode().decode("latin-1")}),
    (standard.STYLE, {**STANDARD, "webhook-id": "x" * 1000}),
    *((standard.STYLE, {key: value for key, value in STANDARD.items() if key != name}) for name in STANDARD),
    *(
        (github.STYLE, {key: value for key, value in GITHUB.items() if key != name})
        for name in GITHUB
        if "event" not in name
    ),
    (github.STYLE, {**GITHUB, "x-hub-signature-256": "sha256=zz"}),
    (github.STYLE, {**GITHUB, "x-hub-signature-256": GITHUB["x-hub-signature-256"].removeprefix("sha256=")}),
    (stripe.STYLE, {}),
    (stripe.STYLE, {"stripe-signature": ""}),
    (stripe.STYLE, {"stripe-signature": f"v1={STRIPE_CODE}"}),
    (stripe.STYLE, {"stripe-signature": f"t=1700000000,t=1700000000,v1={STRIPE_CODE}"}),
    (stripe.STYLE, {"stripe-signature": f"t=now,v1={STRIPE_CODE}"}),
]


@pytest.mark.parametrize(("style", "headers"), BROKEN)
def test_what_is_no_claim_is_none(style: Style, headers: dict[str, str]) -> None:
    assert style.claim(Headers(headers)) is None


@pytest.mark.parametrize(
    ("style", "headers", "name"),
    [
        *((standard.STYLE, STANDARD, name) for name in STANDARD),
        (github.STYLE, GITHUB, "x-hub-signature-256"),
        (github.STYLE, GITHUB, "x-github-delivery"),
        (stripe.STYLE, STRIPE, "stripe-signature"),
    ],
)
def test_a_header_that_is_there_twice_counts_for_none(style: Style, headers: dict[str, str], name: str) -> None:
    twice = [(key.encode(), value.encode()) for key, value in [*headers.items(), (name, headers[name])]]

    assert style.claim(Headers(raw=twice)) is None


@given(
    st.sampled_from(list(STYLES.values())), st.dictionaries(st.sampled_from([*STANDARD, *GITHUB, *STRIPE]), st.text())
)
def test_no_header_makes_it_fail(style: Style, texts: dict[str, str]) -> None:
    headers = Headers(raw=[(name.encode(), text.encode("utf-8", "ignore")) for name, text in texts.items()])
    claim = style.claim(headers)

    assert claim is None or not is_signed(claim, b"{}", keys=[b"key"])
    style.about(headers, {"id": 1, "type": ["x"]})


@pytest.mark.parametrize(
    ("secret", "why"),
    [
        ("", "is empty"),
        ("whsec_", "is empty"),
        ("whsec_***", "is not whsec_ and base64"),
        ("é", "is not whsec_ and base64"),
    ],
)
def test_a_secret_that_is_no_key_of_standard_webhooks_says_so_without_itself(secret: str, why: str) -> None:
    with pytest.raises(ValueError, match=f"^{why}$"):
        standard.STYLE.key(secret)


@pytest.mark.parametrize("style", [github.STYLE, stripe.STYLE])
def test_an_empty_secret_is_no_key(style: Style) -> None:
    with pytest.raises(ValueError, match="is empty"):
        style.key("")


def test_keys_are_what_their_senders_mean() -> None:
    assert standard.STYLE.key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") == standard.STYLE.key(STANDARD_SECRET)
    assert len(standard.STYLE.key(STANDARD_SECRET)) == 24
    assert stripe.STYLE.key("whsec_abc") == b"whsec_abc"


@pytest.mark.parametrize(
    ("now", "timely"), [(-WINDOW, True), (WINDOW, True), (-WINDOW - 1, False), (WINDOW + 1, False)]
)
def test_a_time_counts_within_five_minutes(now: int, timely: bool) -> None:
    assert is_timely(Claim(b"", (), at=1_700_000_000), now=1_700_000_000 + now) is timely
    assert is_timely(Claim(b"", (), at=None), now=now)


@pytest.mark.parametrize(
    ("style", "headers", "document", "about"),
    [
        (standard.STYLE, STANDARD, {"type": "user.created"}, About(STANDARD["webhook-id"], "user.created")),
        (standard.STYLE, STANDARD, {"type": 7}, About(STANDARD["webhook-id"], None)),
        (github.STYLE, GITHUB, {"type": "x"}, About(GITHUB["x-github-delivery"], "push")),
        (stripe.STYLE, STRIPE, {"id": "evt_1", "type": "invoice.paid"}, About("evt_1", "invoice.paid")),
        (stripe.STYLE, STRIPE, {"id": "", "type": ""}, About(None, None)),
        (stripe.STYLE, STRIPE, {"id": "a b"}, About(None, None)),
    ],
)
def test_what_a_delivery_says_of_itself(
    style: Style, headers: dict[str, str], document: dict[str, Any], about: About
) -> None:
    assert style.about(Headers(headers), document) == about


def test_what_the_tests_sign_is_what_the_vectors_are() -> None:
    made = signing.standard(STANDARD_SECRET, STANDARD_BODY, id_=STANDARD["webhook-id"], at=1614265330)
    assert made["webhook-signature"] == STANDARD["webhook-signature"]
    assert signing.github(GITHUB_SECRET, GITHUB_BODY)["x-hub-signature-256"] == GITHUB["x-hub-signature-256"]
    assert f"v1={STRIPE_CODE}" in signing.stripe(STRIPE_SECRET, STRIPE_BODY, at=1_700_000_000)["stripe-signature"]

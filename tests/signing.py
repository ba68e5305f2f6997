"""Signs deliveries of webhooks as their senders do, written from their documentation and not from our code."""

import base64
import hashlib
import hmac
import time

JSON = {"content-type": "application/json"}


def standard_secret(key: bytes) -> str:
    """Return a key as Standard Webhooks writes it."""
    return "whsec_" + base64.b64encode(key).decode()


def standard(
    secret: str, body: bytes, *, id_: str = "msg_1", at: float | None = None, by: str = "webhook"
) -> dict[str, str]:
    """Return the headers of Standard Webhooks."""
    moment = str(int(time.time() if at is None else at))
    key = base64.b64decode(secret.removeprefix("whsec_"))
    code = hmac.new(key, f"{id_}.{moment}.".encode() + body, hashlib.sha256).digest()
    signature = "v1," + base64.b64encode(code).decode()
    return {**JSON, f"{by}-id": id_, f"{by}-timestamp": moment, f"{by}-signature": signature}


def github(
    secret: str, body: bytes, *, id_: str = "72d3162e-cc78-11e3-81ab-4c9367dc0958", event: str = "push"
) -> dict[str, str]:
    """Return the headers of GitHub."""
    signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {**JSON, "x-hub-signature-256": signature, "x-github-delivery": id_, "x-github-event": event}


def stripe(secret: str, body: bytes, *, at: float | None = None) -> dict[str, str]:
    """Return the headers of Stripe."""
    moment = str(int(time.time() if at is None else at))
    code = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return {**JSON, "stripe-signature": f"t={moment},v1={code},v0={'0' * 64}"}

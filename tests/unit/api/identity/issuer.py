"""An OpenID Connect issuer for tests: keys made on the spot, served on loopback, and tokens signed with them."""

import base64
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

AUDIENCE = "ordinaut"

_MAKERS = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


@dataclass
class Key:
    """A key pair and the id that the issuer gives it."""

    id: str
    algorithm: str = "RS256"
    private: Any = None

    def __post_init__(self) -> None:
        self.private = self.private or _MAKERS[self.algorithm]()

    @property
    def public(self) -> dict[str, Any]:
        """The public part, as the issuer publishes it."""
        maker = jwt.get_algorithm_by_name(self.algorithm)
        found = json.loads(maker.to_jwk(self.private.public_key()))
        return {**found, "kid": self.id, "use": "sig", "alg": self.algorithm}

    @property
    def pem(self) -> bytes:
        """The public part as text."""
        return bytes(
            self.private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )


@dataclass
class Issuer:
    """What the issuer publishes now; tests change it. ``fetches`` counts how often the keys were asked for."""

    url: str = ""
    keys: list[dict[str, Any]] = field(default_factory=list)
    discovery: dict[str, Any] = field(default_factory=dict)
    fetches: int = 0
    away: bool = False

    def token(self, key: Key, *, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """Sign a token; a claim set to None is left out."""
        now = int(time.time())
        given = {"iss": self.url, "aud": AUDIENCE, "sub": "ada", "iat": now, "exp": now + 600, **claims}
        kept = {name: value for name, value in given.items() if value is not None}
        head = {"kid": key.id, **(header or {})}
        return jwt.encode(kept, key.private, algorithm=key.algorithm, headers=head)


def raw(header: Mapping[str, Any], claims: Mapping[str, Any], signature: bytes = b"") -> str:
    """Write a token that no library would."""
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


@asynccontextmanager
async def issuing() -> AsyncIterator[Issuer]:
    """Serve an issuer on loopback."""
    issuer = Issuer()

    async def discovery(_request: web.Request) -> web.Response:
        if issuer.away:
            return web.Response(status=503)
        return web.json_response({"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys", **issuer.discovery})

    async def keys(_request: web.Request) -> web.Response:
        issuer.fetches += 1
        return web.json_response({"keys": issuer.keys})

    async def elsewhere(_request: web.Request) -> web.Response:
        raise web.HTTPFound(f"{issuer.url}/keys")

    async def huge(_request: web.Request) -> web.Response:
        return web.json_response({"keys": ["x" * (2 * 1024 * 1024)]})

    app = web.Application()
    app.add_routes(
        [
            web.get("/.well-known/openid-configuration", discovery),
            web.get("/keys", keys),
            web.get("/elsewhere", elsewhere),
            web.get("/huge", huge),
        ]
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        issuer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield issuer
    finally:
        await runner.cleanup()

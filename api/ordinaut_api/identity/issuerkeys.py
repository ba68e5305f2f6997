"""
The public keys of an OpenID Connect issuer, fetched by its discovery document and kept.

``oidc`` asks for the key of a token. A key id that is not known makes us fetch the keys again, at most once a minute,
since anybody can make up key ids; and once in ten minutes they are fetched anyhow, so that a key that the issuer has
withdrawn ends. An issuer that is away changes nothing for an hour.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import rsa

from ordinaut.logging import get_logger
from ordinaut_api.identity.authority import AuthorityAway
from ordinaut_api.settings import is_trustworthy

ALGORITHMS: Final = frozenset({"RS256", "ES256", "EdDSA"})

FETCH_AGAIN_SECONDS: Final = 60.0
"""Between two fetches, at least."""

TRY_AGAIN_SECONDS: Final = 2.0
"""The same while there are no keys at all."""

FRESH_SECONDS: Final = 600.0
USABLE_SECONDS: Final = 3600.0

_TIMEOUT: Final = aiohttp.ClientTimeout(total=5)
_MAX_DOCUMENT: Final = 1024 * 1024
_MAX_KEYS: Final = 100
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192  # a check takes longer with the size of the key

log = get_logger(__name__)


class IssuerKeys:
    """The keys of one issuer; an asynchronous context manager. ``clock`` counts seconds."""

    def __init__(self, issuer: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._issuer = issuer
        self._clock = clock
        self._keys: list[jwt.PyJWK] = []
        self._fetched: float | None = None
        self._tried: float | None = None
        self._fetching = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers={"User-Agent": "ordinaut-api"}, timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def find(self, key_id: object, *, algorithm: str) -> jwt.PyJWK | None:
        """Return the key of a token, None if the issuer has none; raises :class:`AuthorityAway`."""
        if self._older(self._fetched, FRESH_SECONDS):
            await self._fetch()
        found = self._known(key_id, algorithm)
        if found is None and await self._fetch():
            found = self._known(key_id, algorithm)
        if self._older(self._fetched, USABLE_SECONDS):
            raise AuthorityAway("The OpenID Connect issuer does not give its keys.")
        return found

    def _known(self, key_id: object, algorithm: str) -> jwt.PyJWK | None:
        fit = [one for one in self._keys if one.algorithm_name == algorithm]
        if key_id is not None:
            fit = [one for one in fit if one.key_id == key_id]
        return fit[0] if len(fit) == 1 else None

    def _older(self, moment: float | None, seconds: float) -> bool:
        return moment is None or self._clock() - moment > seconds

    async def _fetch(self) -> bool:
        """Fetch the keys unless that has just been tried; tell whether they are newer now than when it was called."""
        before = self._fetched
        async with self._fetching:
            pause = FETCH_AGAIN_SECONDS if self._keys else TRY_AGAIN_SECONDS
            if self._fetched == before and self._older(self._tried, pause):
                self._tried = self._clock()
                await self._replace()
            return self._fetched != before

    async def _replace(self) -> None:
        try:
            self._keys = await self._published()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            why = str(error) if type(error) is ValueError else type(error).__name__
            log.warning("the keys of the OpenID Connect issuer can't be had", issuer=self._issuer, why=why)
        else:
            self._fetched = self._clock()

    async def _published(self) -> list[jwt.PyJWK]:
        discovered = await self._get(self._issuer.rstrip("/") + "/.well-known/openid-configuration")
        if discovered.get("issuer") != self._issuer:
            raise ValueError("the discovery document names another issuer")
        return list(_usable(await self._get(discovered.get("jwks_uri"))))

    async def _get(self, url: object) -> Mapping[str, Any]:
        if not isinstance(url, str) or not is_trustworthy(url):
            raise ValueError("the discovery document names no https address of the keys")
        async with self._session.get(url, allow_redirects=False) as response:
            if response.status != 200:  # noqa: PLR2004
                raise ValueError(f"{url} answers with status {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > _MAX_DOCUMENT:
                    raise ValueError(f"{url} answers with more than {_MAX_DOCUMENT} bytes")
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            raise ValueError(f"{url} answers with something else than JSON") from None
        if isinstance(document, dict):
            return document
        raise ValueError(f"{url} answers with something else than an object")


def _usable(document: Mapping[str, Any]) -> Iterator[jwt.PyJWK]:
    """Yield the keys for signatures that we take; an issuer may publish others too."""
    entries = document.get("keys")
    for entry in entries[:_MAX_KEYS] if isinstance(entries, list) else ():
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
            continue
        try:
            key = jwt.PyJWK(entry)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError):
            continue
        public = key.key
        if isinstance(public, rsa.RSAPublicKey) and not _MIN_RSA_BITS <= public.key_size <= _MAX_RSA_BITS:
            continue
        if key.algorithm_name in ALGORITHMS:
            yield key

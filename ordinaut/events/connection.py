"""
Connections to Redis: one server, or whichever the sentinels name; encrypted or not, as whom the address says.

The operator opens one client for its stream and its inbox, tools of the command line open their own. Failures are
reported, never retried in here: who asks again knows better when. :func:`explained` says what is wrong for `/readyz`,
logs and errors.
"""

from pathlib import Path
from typing import Any, Final

import redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel
from redis.backoff import NoBackoff

from ordinaut.events.address import Address, parse

CONNECT_TIMEOUT: Final = 2.0
"""Seconds; callers try again by themselves, so none need wait long."""

REPLY_TIMEOUT: Final = 5.0
"""Seconds until a silent server counts as away."""

_REASONS: Final = (
    ("Authentication required", "it wants a password: write it into the address, as redis://user:password@host"),
    ("client already authenticated", "it wants a password: write it into the address, as redis://user:password@host"),
    ("WRONGPASS", "wrong user or password"),
    ("invalid username-password", "wrong user or password"),
    ("OOM ", "it is full: give it memory, or set ORDINAUT_STREAM_MAX_LENGTH lower"),
    ("used memory > 'maxmemory'", "it is full: give it memory, or set ORDINAUT_STREAM_MAX_LENGTH lower"),
    ("read only replica", "this is a replica that takes no writes: name the primary, or the sentinels"),
    ("previous master is now a slave", "the primary has changed; asking the sentinels anew"),
    (
        "WRONGTYPE",
        "one of Ordinaut's keys holds something else than a stream: delete ordinaut:events or ordinaut:inbox",
    ),
    ("ACL failure", "the user lacks a right: see the rules in docs/configuration.md"),
    ("no permissions", "the user lacks a right: see the rules in docs/configuration.md"),
    ("can't run this command", "the user lacks a right: see the rules in docs/configuration.md"),
    ("MISCONF", "it cannot save its data and takes no writes: see its own log"),
)
"""By a part of what Redis says: what is wrong, and what helps."""


class _BySentinels(Redis):
    """The client of a service that sentinels watch; closing it closes theirs, too."""

    sentinels: Sentinel

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        await self.sentinels.aclose()


def connect(url: str, *, ca_file: Path | None = None) -> Redis:
    """
    Return a client that connects when first used, and reports failures instead of retrying them itself.

    ``ca_file`` vouches for the servers of an encrypted address, instead of the authorities that the system trusts.
    """
    address = parse(url)
    options = _options(address, ca_file=ca_file)
    if address.path is not None:
        return Redis(unix_socket_path=address.path, **options)
    if address.service is None:
        ((host, port),) = address.hosts
        return Redis(host=host, port=port, **options)
    asking = {**options, "username": address.sentinel_username, "password": address.sentinel_password, "db": 0}
    sentinels = Sentinel(address.hosts, sentinel_kwargs=asking)  # type: ignore[no-untyped-call]
    client: _BySentinels = sentinels.master_for(address.service, redis_class=_BySentinels, **options)
    client.sentinels = sentinels
    return client


def _options(address: Address, *, ca_file: Path | None) -> dict[str, Any]:
    encryption: dict[str, Any] = {"ssl": True} if address.encrypted else {}
    if address.encrypted and ca_file is not None:
        encryption["ssl_ca_certs"] = str(ca_file)
    return {
        "db": address.database,
        "username": address.username,
        "password": address.password,
        **encryption,
        **address.more,
        "socket_connect_timeout": CONNECT_TIMEOUT,
        "socket_timeout": REPLY_TIMEOUT,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 15,
    }


def explained(error: redis.RedisError) -> str:
    """Return what is wrong, in words that help: what Redis says, and what to do where that is known."""
    said = " ".join(str(error).split())
    if isinstance(error, MasterNotFoundError):
        silent = said.count(" - ")
        return f"no sentinel knows a primary that is well{f' ({silent} of them do not answer)' if silent else ''}"
    if isinstance(error, redis.TimeoutError):
        return said or f"no answer within {REPLY_TIMEOUT:g} s"
    for sign, meaning in _REASONS:
        if sign in said:
            return f"{meaning} ({said})"
    return said or type(error).__name__

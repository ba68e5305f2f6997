"""
Addresses of Redis: what ``ORDINAUT_REDIS_URL`` may be.

The settings check it before a process starts (:func:`parse`), ``connection`` connects by it. What is wrong is told with
the address but never with a password, also where the address is so wrong that the password stands in another place.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

PORT: Final = 6379
SENTINEL_PORT: Final = 26379

_SCHEMES: Final = {
    "redis": (False, False),
    "rediss": (True, False),
    "unix": (False, False),
    "redis+sentinel": (False, True),
    "rediss+sentinel": (True, True),
}
"""Whether each is encrypted, and whether it names sentinels."""

_TLS: Final = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"}
_OPTIONS: Final = {"db", "protocol", "client_name", "sentinel_username", "sentinel_password"} | _TLS
_HOST: Final = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+")

EXAMPLE: Final = "redis://host:6379/0"
SENTINEL_EXAMPLE: Final = "redis+sentinel://host:26379,host:26379/service"


@dataclass(frozen=True, slots=True)
class Address:
    """
    Where a Redis is, and who we are there.

    ``hosts`` is one server, or the sentinels that know where the ``service`` is; empty with the ``path`` of a socket.
    """

    encrypted: bool
    hosts: tuple[tuple[str, int], ...] = ()
    path: str | None = None
    service: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further options of redis-py, by their names there."""


def parse(url: str) -> Address:
    """Return the address that a URL is; raises `ValueError` with what is wrong and how it should be, for people."""
    scheme = url.partition(":")[0]
    if scheme not in _SCHEMES:
        raise ValueError(f"this is no address of a Redis server, as {EXAMPLE}")
    try:
        parts = urlsplit(url)
        return _socket(parts) if scheme == "unix" else _servers(parts)
    except _WrongError as wrong:
        raise ValueError(f"{shown(url)}: {wrong}") from None
    except ValueError:  # brackets that do not close, and the like
        raise ValueError(f"this is no address of a Redis server, as {EXAMPLE}") from None


def shown(url: str) -> str:
    """Return a URL without what may be a password; only its scheme where that can't be told."""
    scheme, _, rest = url.partition("://")
    secret, at, place = rest.rpartition("@")
    hosts = place.partition("/")[0].partition("?")[0]
    if scheme not in _SCHEMES or not all(_has_only_a_host(one) for one in hosts.split(",")):
        return f"{scheme}://…"
    return f"{scheme}://{'…@' if at or secret else ''}{place.partition('?')[0]}"


class _WrongError(Exception):
    """What is wrong with an address, without the address."""


def _has_only_a_host(text: str) -> bool:
    host, port = _host_and_port(text)
    return (not host or _HOST.fullmatch(host) is not None) and (not port or port.isdecimal())


def _host_and_port(text: str) -> tuple[str, str]:
    host, colon, port = text.rpartition(":")
    return (host, port) if colon and not text.endswith("]") else (text, "")


def _socket(parts: SplitResult) -> Address:
    if not parts.path:
        raise _WrongError("no socket: write its path, as unix:///run/redis.sock")
    options = _options(parts)
    username, password = _caller(parts)
    return Address(
        encrypted=False,
        path=unquote(parts.path),
        database=_database(options.get("db", "0")),
        username=username,
        password=password,
        more=_more(options, encrypted=False),
    )


def _servers(parts: SplitResult) -> Address:
    encrypted, by_sentinels = _SCHEMES[parts.scheme]
    place = parts.netloc.rpartition("@")[2]
    if parts.fragment or "@" in parts.path + parts.query:
        raise _WrongError("a sign in the password ends it: write / ? # and @ there as %2F %3F %23 and %40")
    hosts = tuple(_hosts(place, by_sentinels=by_sentinels))
    options = _options(parts)
    segments = [unquote(one) for one in parts.path.split("/")[1:] if one]
    if not by_sentinels and (len(segments) > 1 or "sentinel_password" in options or "sentinel_username" in options):
        raise _WrongError(f"written like one of sentinels: as {EXAMPLE}, or {SENTINEL_EXAMPLE}")
    if by_sentinels and not 1 <= len(segments) <= 2:  # noqa: PLR2004 - service and database
        raise _WrongError(f"it must name the service that the sentinels watch, as {SENTINEL_EXAMPLE}")
    numbers = segments[1:] if by_sentinels else segments
    if numbers and "db" in options:
        raise _WrongError("two databases: write it behind the last / or as db=, not both")
    username, password = _caller(parts)
    return Address(
        encrypted=encrypted,
        hosts=hosts,
        service=segments[0] if by_sentinels else None,
        database=_database(numbers[0] if numbers else options.get("db", "0")),
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        username=username,
        password=password,
        more=_more(options, encrypted=encrypted),
    )


def _hosts(place: str, *, by_sentinels: bool) -> Iterator[tuple[str, int]]:
    usual = SENTINEL_PORT if by_sentinels else PORT
    if not by_sentinels and "," in place:
        raise _WrongError(f"several servers: only sentinels can be several, as {SENTINEL_EXAMPLE}")
    for one in place.split(","):
        host, port = _host_and_port(one)
        if not host and by_sentinels:
            raise _WrongError(f"a sentinel without a name: write each as host or host:port, as {SENTINEL_EXAMPLE}")
        if not _HOST.fullmatch(host or "localhost") or (port and not port.isdecimal()):
            raise _WrongError(f"not host or host:port, as {EXAMPLE}; / ? # and @ of a password are %2F %3F %23 and %40")
        number = int(port or usual)
        if not 1 <= number <= 65535:  # noqa: PLR2004 - the ports that there are
            raise _WrongError("ports go from 1 to 65535")
        yield (host or "localhost").strip("[]"), number


def _options(parts: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(options.keys() - _OPTIONS):
        raise _WrongError(f"unknown behind the ?: {', '.join(unknown)}; known are {', '.join(sorted(_OPTIONS))}")
    return options


def _database(text: str) -> int:
    if not text.isdecimal():
        raise _WrongError("the database is no number: write it behind the last /, as in /0")
    return int(text)


def _caller(parts: SplitResult) -> tuple[str | None, str | None]:
    secret, _, _ = parts.netloc.rpartition("@")
    username, _, password = secret.partition(":")
    return unquote(username) or None, unquote(password) or None


def _more(options: dict[str, str], *, encrypted: bool) -> dict[str, Any]:
    found: dict[str, Any] = {name: options[name] for name in sorted(_TLS | {"client_name"}) if name in options}
    if not encrypted and (useless := _TLS & found.keys()):
        raise _WrongError(f"{', '.join(sorted(useless))}: nothing is encrypted by it; begin it with rediss")
    if (check := found.get("ssl_check_hostname")) is not None:
        found["ssl_check_hostname"] = check.lower() not in {"0", "f", "false", "n", "no"}
    if (protocol := options.get("protocol")) is not None:
        if protocol not in {"2", "3"}:
            raise _WrongError("protocol: 2 or 3")
        found["protocol"] = int(protocol)
    return found

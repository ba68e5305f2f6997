"""
Where a client takes its token from: a string, a file that is rewritten, or a command.

``connection`` asks for it before each request, so a rotated token is used at once. Tokens are in no ``repr``, no log
and no error: what is wrong with one is said without repeating it.
"""

import asyncio
import base64
import binascii
import contextlib
import json
import shlex
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from ordinaut.client.errors import TokenUnavailable

COMMAND_TIMEOUT: Final = 30.0
"""Seconds that a command may take; it may have to ask a server."""

EARLY: Final = 60.0
"""Seconds before its expiry that a token of a command is no longer used: requests take time, and clocks differ."""

UNKNOWN_LIFE: Final = 60.0
"""Seconds that a token is used which does not say when it expires."""

MAX_TOKEN: Final = 16 * 1024


class TokenSource(Protocol):
    """Gives the token for each request."""

    async def token(self) -> str:
        """Return the token; raises `TokenUnavailable`."""

    def refused(self, token: str) -> None:
        """Take notice that the API did not accept a token: what was kept of it is worth nothing."""


class StaticToken:
    """A token that is known and stays."""

    def __init__(self, token: str) -> None:
        self._token = checked(token, source="the token")

    def __repr__(self) -> str:
        return "StaticToken(…)"

    async def token(self) -> str:
        """Return the token."""
        return self._token

    def refused(self, token: str) -> None:
        """Do nothing: there is no other."""


class TokenFile:
    """A file with a token; read again when it changes, as projected service account tokens do every hour."""

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path).expanduser()
        self._seen: tuple[int, int, int] | None = None
        self._token = ""

    def __repr__(self) -> str:
        return f"TokenFile({str(self._path)!r})"

    async def token(self) -> str:
        """Return what is in the file now."""
        try:
            # A look at a local file takes microseconds; a thread would take longer.
            found = self._path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen != self._seen:
                text = self._path.read_text(encoding="utf-8")
                self._token, self._seen = checked(text, source=f"token file {self._path}"), seen
        except OSError as error:
            raise TokenUnavailable(f"token file {self._path}: cannot read it: {error.strerror}") from None
        except UnicodeDecodeError:
            raise TokenUnavailable(f"token file {self._path}: it is not text") from None
        return self._token

    def refused(self, token: str) -> None:
        """Read the file again next time, even if it looks the same."""
        if token == self._token:
            self._seen = None


class TokenCommand:
    """A command that prints a token, such as ``kubectl create token``; run again shortly before the token expires."""

    def __init__(self, command: str | Sequence[str], *, now: Callable[[], float] = time.time) -> None:
        self._arguments = shlex.split(command) if isinstance(command, str) else list(command)
        if not self._arguments:
            raise TokenUnavailable("token command: it is empty; write the program and its arguments")
        self._now = now
        self._lock = asyncio.Lock()
        self._token = ""
        self._good_until = 0.0

    def __repr__(self) -> str:
        return f"TokenCommand({shlex.join(self._arguments)!r})"

    async def token(self) -> str:
        """Return the token of the latest run, or of a new one."""
        async with self._lock:  # many requests at once run it once
            if self._now() >= self._good_until:
                token = checked(await self._run(), source=self._source)
                self._token, self._good_until = token, good_until(token, now=self._now())
            return self._token

    def refused(self, token: str) -> None:
        """Run the command again next time."""
        if token == self._token:
            self._good_until = 0.0

    @property
    def _source(self) -> str:
        return f"token command {self._arguments[0]}"

    async def _run(self) -> str:
        pipe = asyncio.subprocess.PIPE
        try:
            process = await asyncio.create_subprocess_exec(
                *self._arguments, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
            )
        except OSError as error:
            raise TokenUnavailable(f"{self._source}: cannot run it: {error.strerror}") from None
        try:
            async with asyncio.timeout(COMMAND_TIMEOUT):
                out, err = await process.communicate()
        except TimeoutError:
            raise TokenUnavailable(f"{self._source}: it took longer than {COMMAND_TIMEOUT:g} s") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode:
            said = err.decode(errors="replace").strip().splitlines()
            why = f": {said[-1][:300]}" if said else ""
            raise TokenUnavailable(f"{self._source}: it ended with status {process.returncode}{why}")
        return out.decode(errors="replace")


def checked(text: str, *, source: str) -> str:
    """Return the token in a text, without the space around it; raises `TokenUnavailable` if it can't be one."""
    token = text.strip()
    if not token:
        raise TokenUnavailable(f"{source}: it is empty")
    if len(token) > MAX_TOKEN or not token.isascii() or any(not "!" <= char <= "~" for char in token):
        raise TokenUnavailable(f"{source}: it is no token: one word of printable ASCII characters")
    return token


def good_until(token: str, *, now: float) -> float:
    """Return until when a token is used: shortly before its ``exp`` if it is a JWT with one, else for a minute."""
    expires = _expiry(token)
    return now + UNKNOWN_LIFE if expires is None else expires - EARLY


def _expiry(token: str) -> float | None:
    """Return ``exp`` of a JWT, which is only read here, never trusted: the API checks the signature."""
    parts = token.split(".")
    if len(parts) != 3:  # noqa: PLR2004 - header, claims, signature
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, TypeError, KeyError, RecursionError, binascii.Error):
        return None


def token_source(
    *, token: str | None = None, token_file: Path | str | None = None, token_command: str | Sequence[str] | None = None
) -> TokenSource | None:
    """Return the source that was named; None if none was."""
    if sum(one is not None for one in (token, token_file, token_command)) > 1:
        raise ValueError("token, token_file, token_command: give one of them")
    if token is not None:
        return StaticToken(token)
    if token_file is not None:
        return TokenFile(token_file)
    return None if token_command is None else TokenCommand(token_command)

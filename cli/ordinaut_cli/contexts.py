"""
The file of contexts: which APIs this person uses, in which namespace, and where the token for each comes from.

``login`` and ``config`` write it, ``target`` reads it before every command that needs the API. It holds no tokens:
those are in files of their own, or come from commands.
"""

import contextlib
import fcntl
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from ordinaut_cli.errors import WRONG_INPUT, CommandError

CONFIG: Final = "ORDINAUT_CONFIG"
"""The variable that names the file."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}")
_PRIVATE_FILE: Final = 0o600
_PRIVATE_FOLDER: Final = 0o700


@dataclass(frozen=True, slots=True)
class Context:
    """
    One API, a namespace in it, and where the token comes from; none where no token is needed.

    ``kube_context`` is the context of kubectl whose cluster holds the API, where it is the address of a Service: the
    context must not follow whichever is kubectl's current one.
    """

    api: str
    namespace: str = "default"
    token_file: str | None = None
    token_command: str | None = None
    kube_context: str | None = None

    def as_data(self) -> dict[str, str]:
        """Return the form that stands in the file."""
        return {key: value for key, name in _KEYS.items() if (value := getattr(self, name)) is not None}


_KEYS: Final[Mapping[str, str]] = {
    "api": "api",
    "namespace": "namespace",
    "tokenFile": "token_file",
    "tokenCommand": "token_command",
    "kubeContext": "kube_context",
}
"""The fields by the names that they have in the file."""


@dataclass(frozen=True, slots=True)
class Config:
    """What the file says."""

    current: str | None = None
    contexts: Mapping[str, Context] = field(default_factory=dict)

    def chosen(self, name: str) -> Context:
        """Return a context, or end the command and name those that there are."""
        if name in self.contexts:
            return self.contexts[name]
        there = ", ".join(self.contexts) or "none yet; make one with `ordinaut login URL`"
        raise CommandError(f"no context has the name {name}; there are: {there}", exit_code=WRONG_INPUT)

    def having(self, name: str, context: Context, *, current: bool) -> "Config":
        """Return the same with one context more, or another under its name."""
        contexts = {**self.contexts, name: context}
        return replace(self, contexts=contexts, current=name if current or not self.current else self.current)

    def without(self, name: str) -> "Config":
        """Return the same without a context."""
        contexts = {key: context for key, context in self.contexts.items() if key != name}
        return Config(None if self.current == name else self.current, contexts)

    def as_data(self) -> dict[str, Any]:
        """Return the form that stands in the file."""
        contexts = {name: context.as_data() for name, context in self.contexts.items()}
        return {**({"currentContext": self.current} if self.current else {}), "contexts": contexts}


def path() -> Path:
    """Return where the file is: ``ORDINAUT_CONFIG``, or in the folder that the system has for such files."""
    if named := os.environ.get(CONFIG):
        return Path(named).expanduser()
    folder = os.environ.get("XDG_CONFIG_HOME")
    return (Path(folder) if folder else Path("~/.config").expanduser()) / "ordinaut" / "config.yaml"


def load() -> Config:
    """Return what the file says, nothing if there is none; a broken file ends the command with every mistake in it."""
    file = path()
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Config()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CommandError(f"{file}: cannot read it: {why}", exit_code=WRONG_INPUT) from None
    return parse(text, source=str(file))


def parse(text: str, *, source: str) -> Config:
    """Return what a text says; ``source`` is its name, for messages."""
    import yaml  # noqa: PLC0415 - slow to load, and whoever has no contexts need not wait for it

    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{source}:{mark.line + 1}" if mark else source
        raise CommandError(f"{place}: not YAML: {getattr(error, 'problem', error)}", exit_code=WRONG_INPUT) from None
    mistakes = list(_mistakes({} if data is None else data))
    if mistakes:
        remedy = "correct it, or remove the file and log in again with `ordinaut login URL`"
        raise CommandError(*(f"{source}: {mistake}" for mistake in mistakes), remedy, exit_code=WRONG_INPUT)
    data = data or {}
    contexts = {
        name: Context(**{_KEYS[key]: value for key, value in one.items()})
        for name, one in (data.get("contexts") or {}).items()
    }
    return Config(data.get("currentContext"), contexts)


def _mistakes(data: Any) -> Iterator[str]:
    """Yield what is wrong with the content of the file; values are not repeated, a token may have got there."""
    if not isinstance(data, Mapping):
        yield "not an object with contexts"
        return
    yield from (f"{key}: unknown field; write currentContext and contexts" for key in data if key not in _TOP)
    contexts = {} if data.get("contexts") is None else data["contexts"]
    if not isinstance(contexts, Mapping):
        yield "contexts: not an object; write NAME: {api: URL}"
        return
    for name, context in contexts.items():
        yield from _context_mistakes(name, context)
    current = data.get("currentContext")
    if current is not None and current not in contexts:
        yield f"currentContext: {current}: there is no such context"


_TOP: Final = frozenset({"currentContext", "contexts"})


def _context_mistakes(name: object, context: Any) -> Iterator[str]:
    where = f"contexts.{name}"
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        yield f"{where}: not a name of a context; write letters, digits and . _ : @ -"
    if not isinstance(context, Mapping):
        yield f"{where}: not an object; write {{api: URL}}"
        return
    for key, value in context.items():
        if key not in _KEYS:
            yield f"{where}.{key}: unknown field; write {', '.join(_KEYS)}"
        elif not isinstance(value, str) or not value:
            yield f"{where}.{key}: not a text"
    if "api" not in context:
        yield f"{where}.api: missing; write the URL of the API"
    if {"tokenFile", "tokenCommand"} <= context.keys():
        yield f"{where}: tokenFile and tokenCommand; keep one of them"
    if "kubeContext" in context and not str(context.get("api")).startswith("kubernetes://"):
        yield f"{where}.kubeContext: only for an api of the form kubernetes://NAMESPACE/SERVICE"


def checked_name(name: str, *, option: str) -> str:
    """Return a name for a context, or end the command because it is none."""
    if _NAME.fullmatch(name):
        return name
    raise CommandError(
        f"{option}: {name}: not a name of a context; write letters, digits and . _ : @ -", exit_code=WRONG_INPUT
    )


@contextlib.contextmanager
def edited() -> Iterator[list[Config]]:
    """Yield the content of the file in a list; what stands there at the end is written. One at a time on a machine."""
    file = path()
    with _written_to(file), _locked(file.parent):
        box = [load()]
        before = box[0]
        yield box
        if box[0] != before:
            import yaml  # noqa: PLC0415 - as above

            write(file, yaml.safe_dump(box[0].as_data(), sort_keys=False, allow_unicode=True))


def store_token(name: str, token: str) -> Path:
    """Write the token of a context to a file of its own; returns the file."""
    file = _token_path(name)
    with _written_to(file):
        _folder(file.parent)
        write(file, f"{token}\n")
    return file


def forget_token(name: str, context: Context) -> None:
    """Remove the file with the token of a context, if it is one that :func:`store_token` wrote."""
    file = _token_path(name)
    if context.token_file == str(file):
        with _written_to(file):
            file.unlink(missing_ok=True)


def _token_path(name: str) -> Path:
    return path().absolute().parent / "tokens" / name


def write(file: Path, text: str) -> None:
    """Write a file that only its owner can read: all of it or nothing, whatever happens meanwhile."""
    file = file.resolve()  # a link stays one
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as opened:
            os.fchmod(opened.fileno(), _PRIVATE_FILE)
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def _written_to(file: Path) -> Iterator[None]:
    """End the command when a file can't be written."""
    try:
        yield
    except OSError as error:
        raise CommandError(f"{file}: cannot write it: {error.strerror}") from None


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder meanwhile, so that of two commands at once none undoes what the other did."""
    _folder(folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _folder(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True, mode=_PRIVATE_FOLDER)

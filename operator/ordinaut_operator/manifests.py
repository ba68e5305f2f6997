"""
Reads a directory of manifests: what is declared there, and what is wrong with it.

:mod:`ordinaut_operator.directory` asks for a scan whenever something may have changed, in a thread, since it reads
files. A file that can't be read says nothing about what it declares: what it held before still counts, and if that is
not known, nothing may be taken for removed.
"""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

from ordinaut.declaration.examine import check
from ordinaut.errors import Invalid, OrdinautError, shown
from ordinaut.resources import manifest, yamldocs
from ordinaut.resources.metadata import SERVER_FIELDS
from ordinaut.resources.yamldocs import Document
from ordinaut.store.declared import Key, Kind

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})

_NAMES: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://ordinaut.io/directory")
_DEFAULT_NAMESPACE: Final = "default"


@dataclass(frozen=True, slots=True)
class Found:
    """A declared object, in the form in which the API server would send it. ``mistakes`` are told with their places."""

    key: Key
    document: Mapping[str, Any]
    place: str
    mistakes: tuple[str, ...] = ()


@dataclass(slots=True)
class Scan:
    """
    What a directory declares.

    ``kept`` are objects of files that can't be read now; ``unsure`` says that there is such a file of which nothing
    is known.
    """

    found: dict[Key, Found] = field(default_factory=dict)
    kept: set[Key] = field(default_factory=set)
    unsure: bool = False
    mistakes: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it was read: ``keys`` are what it declared when it could last be read, None if it never could."""

    signature: tuple[int, int, int]
    found: tuple[Found, ...] = ()
    keys: frozenset[Key] | None = None
    mistakes: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class DirectoryMissing(OrdinautError):
    """The directory does not exist."""


def uid_of(key: Key) -> str:
    """Return the uid of an object of a directory: the same each time, since files have none."""
    return str(uuid.uuid5(_NAMES, str(key)))


class Scanner:
    """Reads one directory again and again; files that have not changed are not read again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[Path, _File] | None = None

    def scan(self) -> Scan | None:
        """Return what the directory declares, None if no file has changed since the last scan."""
        if not self._directory.is_dir():
            raise DirectoryMissing(f"there is no directory {self._directory}; make it or name another one")
        before = self._files or {}
        files = {path: self._read(path, before.get(path)) for path in sorted(self._paths())}
        if files == self._files:
            return None
        self._files = files
        return _joined(files.values())

    def _paths(self) -> Iterator[Path]:
        for path in self._directory.rglob("*"):
            hidden = any(part.startswith(".") for part in path.relative_to(self._directory).parts)
            if path.suffix in SUFFIXES and not hidden and path.is_file():
                yield path

    def _read(self, path: Path, before: _File | None) -> _File:
        known = before.keys if before is not None else None
        source = str(path.relative_to(self._directory))
        try:
            about = path.stat()
            signature = (about.st_mtime_ns, about.st_size, about.st_ino)
            if before is not None and before.signature == signature:
                return before
            documents = yamldocs.read(path.read_text(encoding="utf-8"), source=source)
        except Invalid as invalid:
            # The field of such a mistake is its place: file and line.
            wrong = tuple(f"{error.field}: {error.message}; {error.remedy}" for error in invalid.errors)
            return _File(signature, keys=known, mistakes=wrong)
        except (OSError, UnicodeDecodeError) as error:
            why = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error.strerror
            return _File((0, 0, 0), keys=known, mistakes=(f"{source}: can't be read: {why}; make it readable",))
        return _examined(documents, signature=signature, known=known)


def _examined(documents: Iterable[Document], *, signature: tuple[int, int, int], known: frozenset[Key] | None) -> _File:
    found: list[Found] = []
    mistakes: list[str] = []
    ignored: list[str] = []
    for document in documents:
        place = f"{document.source}:{document.line}"
        if _is_foreign(document.data):
            ignored.append(f"{place}: {document.data['kind']}")
            continue
        wrong = tuple(_mistakes(document))
        mistakes += wrong
        if (key := _key(document.data)) is not None:
            found.append(Found(key, _as_sent(document.data, key), place, wrong))
        else:
            # An object without a name may be any of those that the file held before.
            return _File(signature, keys=known, mistakes=tuple(mistakes))
    keys = frozenset(one.key for one in found)
    return _File(signature, tuple(found), keys, tuple(mistakes), tuple(ignored))


def _mistakes(document: Document) -> Iterator[str]:
    try:
        check(document.data, server_fields=True)
    except Invalid as invalid:
        for error in invalid.errors:
            yield f"{document.source}:{document.line_of(error.field)}: {error}"


def _is_foreign(data: object) -> bool:
    """Whether a document is of somebody else's kind, such as a ConfigMap beside our manifests."""
    complete = isinstance(data, Mapping) and all(isinstance(data.get(name), str) for name in ("apiVersion", "kind"))
    return complete and not manifest.is_ordinaut(data)


def _key(data: object) -> Key | None:
    """Return the name of an object, None if it has none that could be stored."""
    metadata = data.get("metadata") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(metadata, Mapping) or data.get("kind") not in manifest.KINDS:
        return None
    name, namespace = metadata.get("name"), metadata.get("namespace", _DEFAULT_NAMESPACE)
    if not isinstance(name, str) or not isinstance(namespace, str):
        return None
    return Key(cast(Kind, data["kind"]), namespace, name)


def _as_sent(data: Mapping[str, Any], key: Key) -> Mapping[str, Any]:
    """Return a document with its namespace and uid, without what a server wrote into a copy of it."""
    metadata = {name: value for name, value in data["metadata"].items() if name not in SERVER_FIELDS}
    return {**data, "metadata": {**metadata, "namespace": key.namespace, "uid": uid_of(key)}}


def _joined(files: Iterable[_File]) -> Scan:
    """Return what files declare together; of a name that is declared twice the first counts."""
    scan = Scan()
    for file in files:
        scan.mistakes += file.mistakes
        scan.ignored += file.ignored
        if not file.found and file.mistakes:
            scan.kept |= file.keys or set()
            scan.unsure |= file.keys is None
        for one in file.found:
            first = scan.found.setdefault(one.key, one)
            if first is not one:
                twice = f"{one.place}: metadata.name: Duplicate value: {shown(one.key.name)}: {one.key.kind} "
                scan.mistakes.append(f"{twice}declared at {first.place} already, which counts; remove one of them")
    return scan

"""
Manifests from files, directories and stdin, as the commands with ``-f`` take them.

``yamldocs`` reads them with their lines, so that every mistake is told with its place: ``file:line``.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ordinaut.errors import FieldError, Invalid
from ordinaut.resources import manifest, yamldocs
from ordinaut.resources.original import from_original
from ordinaut.resources.yamldocs import Document
from ordinaut_cli.errors import WRONG_INPUT, CommandError

SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
STDIN: Final = "-"


def load(names: Sequence[str]) -> list[Document]:
    """Return the documents of all files; ends the command for a file that can't be read, or when there are none."""
    documents = []
    for source, text in _texts(names):
        try:
            documents += yamldocs.read(text, source=source)
        except Invalid as invalid:
            raise CommandError(*(_placed(error) for error in invalid.errors), exit_code=WRONG_INPUT) from None
    if not documents:
        raise CommandError(f"-f: {', '.join(names)}: no manifest in there", exit_code=WRONG_INPUT)
    return documents


def _placed(error: FieldError) -> str:
    """Return a mistake of the YAML itself, whose field is its place already."""
    return f"{error.field}: {error.message}; {error.remedy}"


def _texts(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        if name == STDIN:
            yield "<stdin>", sys.stdin.read()
            continue
        for path in _files(Path(name)):
            try:
                yield str(path), path.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise CommandError(f"-f: {path}: cannot read it: {_reason(error)}", exit_code=WRONG_INPUT) from None


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else "it is not UTF-8 text"


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(
        file
        for file in path.rglob("*")
        if file.suffix in SUFFIXES and file.is_file() and not _hidden(file.relative_to(path))
    )


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def is_foreign(document: Document) -> bool:
    """Whether a document is of somebody else's kind, such as a ConfigMap beside our manifests."""
    data = document.data
    return (
        isinstance(data, Mapping)
        and isinstance(data.get("apiVersion"), str)
        and isinstance(data.get("kind"), str)
        and not manifest.is_ordinaut(data)
    )


def content(document: Document, *, namespace: str) -> Any:
    """Return a document in the present form, in ``namespace`` unless it names one itself."""
    data = from_original(document.data)
    if isinstance(data, Mapping) and isinstance(data.get("metadata"), Mapping):
        return {**data, "metadata": {"namespace": namespace, **data["metadata"]}}
    return data


def title(data: object) -> str:
    """Return what a manifest says it is: ``Task default/morning-briefing``."""
    if not isinstance(data, Mapping):
        return "document"
    metadata = data.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    return f"{data.get('kind', 'object')} {metadata.get('namespace', 'default')}/{metadata.get('name', '?')}"


def mistakes(document: Document, errors: Iterable[FieldError]) -> list[str]:
    """Return one line for each mistake, with its place."""
    return [f"{document.source}:{document.line_of(error.field)}: {error}" for error in errors]

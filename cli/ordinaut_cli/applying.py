"""
Putting manifests to the API in the order in which they refer to each other, and telling refusals with their place in
the file.

Called by ``apply``; what it needs of the core is slow to load.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ordinaut.resources.yamldocs import Document
from ordinaut_cli import files, verdicts
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.rest import RefusedError, Rest

COLLECTIONS: Final = {"Tool": "tools", "Pipeline": "pipelines", "Task": "tasks"}
"""In the order of applying: what others refer to first."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An object as the API has it now, and what became of it: created, configured or unchanged."""

    title: str
    object: dict[str, Any]
    result: str


def apply(names: Sequence[str], *, namespace: str, api: str) -> Iterator[Applied]:
    """Apply the objects in files one by one; nothing is sent if there is a mistake in any of them."""
    documents = [document for document in files.load(names) if not files.is_foreign(document)]
    wrong = [verdict for verdict in verdicts.judge(documents, namespace=namespace) if verdict.errors]
    if wrong:
        raise CommandError(*(line for verdict in wrong for line in verdict.lines()), exit_code=WRONG_INPUT)
    manifests = [(document, files.content(document, namespace=namespace)) for document in documents]
    for kind, collection in COLLECTIONS.items():
        for document, data in manifests:
            if data["kind"] == kind:
                yield _put(document, data, collection, api=api)


def _put(document: Document, data: Any, collection: str, *, api: str) -> Applied:
    path = f"{collection}/{data['metadata']['name']}"
    with Rest(api, namespace=data["metadata"]["namespace"]) as rest:
        try:
            before = _generation(rest, path)
            made = rest.put(path, data)
        except RefusedError as failure:
            raise CommandError(*_placed(document, failure), exit_code=failure.exit_code) from None
    after = made["metadata"]["generation"]
    result = "created" if before is None else "unchanged" if before == after else "configured"
    return Applied(files.title(data), made, result)


def _generation(rest: Rest, path: str) -> int | None:
    try:
        return int(rest.get(path)["metadata"]["generation"])
    except RefusedError as failure:
        if failure.status == 404:  # noqa: PLR2004
            return None
        raise


def _placed(document: Document, failure: RefusedError) -> list[str]:
    """Return what the API refused, with its place in the file."""
    if not failure.errors:
        return [f"{document.source}:{document.line}: {failure}"]
    return [f"{document.source}:{document.line_of(error['field'])}: {error['detail']}" for error in failure.errors]

"""
Putting manifests to the API in the order in which they refer to each other, and telling refusals with their place in
the file.

Called by ``apply``; what it needs of the core is slow to load.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ordinaut.client import Client, NotFound, ProblemError
from ordinaut.resources.yamldocs import Document
from ordinaut_cli import asking, files, verdicts
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.target import Target

COLLECTIONS: Final = {"Tool": "tools", "Pipeline": "pipelines", "Task": "tasks", "Hook": "hooks"}
"""In the order of applying: what others refer to first."""


@dataclass(frozen=True, slots=True)
class Applied:
    """An object as the API has it now, and what became of it: created, configured or unchanged."""

    title: str
    object: dict[str, Any]
    result: str


def apply(names: Sequence[str], target: Target, *, tell: Callable[[Applied], None]) -> None:
    """Apply the objects in files one by one; nothing is sent if there is a mistake in any of them."""
    documents = [document for document in files.load(names) if not files.is_foreign(document)]
    wrong = [verdict for verdict in verdicts.judge(documents, namespace=target.namespace) if verdict.errors]
    if wrong:
        raise CommandError(*(line for verdict in wrong for line in verdict.lines()), exit_code=WRONG_INPUT)

    async def work(client: Client) -> None:
        for document, data in _ordered(documents, namespace=target.namespace):
            tell(await _put(client, document, data, target))

    asking.ask(target, work)


def named(names: Sequence[str], *, namespace: str) -> list[tuple[str, str, str]]:
    """Return collection, namespace and name of the objects in files, those that refer to others first."""
    documents = [document for document in files.load(names) if not files.is_foreign(document)]
    for document in documents:
        metadata = document.data.get("metadata") if isinstance(document.data, dict) else None
        if not isinstance(metadata, dict) or not metadata.get("name") or document.data.get("kind") not in COLLECTIONS:
            place = f"{document.source}:{document.line}"
            raise CommandError(f"{place}: no Task, Pipeline, Tool or Hook with a name", exit_code=WRONG_INPUT)
    found = [data for _, data in _ordered(documents, namespace=namespace)]
    return [
        (COLLECTIONS[data["kind"]], str(data["metadata"]["namespace"]), str(data["metadata"]["name"]))
        for data in reversed(found)
    ]


def _ordered(documents: Sequence[Document], *, namespace: str) -> list[tuple[Document, Any]]:
    """Return the documents and what they say, what others refer to first."""
    read = [(document, files.content(document, namespace=namespace)) for document in documents]
    order = list(COLLECTIONS)
    return sorted(read, key=lambda one: order.index(one[1]["kind"]))


async def _put(client: Client, document: Document, data: Any, target: Target) -> Applied:
    collection: Any = getattr(client.in_namespace(data["metadata"]["namespace"]), COLLECTIONS[data["kind"]])
    try:
        before = await _version(collection, data["metadata"]["name"])
        made = await collection.put(data)
    except ProblemError as error:
        if error.errors:
            lines = [f"{document.source}:{document.line_of(one['field'])}: {one['detail']}" for one in error.errors]
            raise CommandError(*lines, exit_code=asking.failure(error, target).exit_code) from None
        failure = asking.failure(error, target)
        first, *more = failure.lines
        place = f"{document.source}:{document.line}"
        raise CommandError(f"{place}: {first}", *more, exit_code=failure.exit_code) from None
    after = _version_of(made)
    return Applied(
        files.title(data), made, "created" if before is None else "unchanged" if before == after else "configured"
    )


async def _version(collection: Any, name: str) -> Any:
    """Return the version of an object, None if it is not there."""
    try:
        return _version_of(await collection.get(name))
    except NotFound:
        return None


def _version_of(found: Any) -> Any:
    return found["metadata"]["uid"], found["metadata"]["resourceVersion"]

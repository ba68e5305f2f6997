"""``ordinaut apply``: declare the objects in manifests through the API."""

from typing import Any

from ordinaut.resources.yamldocs import Document
from ordinaut_cli import files, render
from ordinaut_cli.commands.validate import verdicts
from ordinaut_cli.errors import WRONG_INPUT, CommandError
from ordinaut_cli.options import DEFAULT_API, Api, Files, Namespace, Output, OutputFormat
from ordinaut_cli.rest import RefusedError, Rest

COLLECTIONS = {"Tool": "tools", "Pipeline": "pipelines", "Task": "tasks"}
"""In the order of applying: what others refer to first."""


def apply(
    filename: Files,
    namespace: Namespace = "default",
    api: Api = DEFAULT_API,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Create or replace the objects in manifests.

    Nothing is sent if there is a mistake in any of them.
    """
    documents = [document for document in files.load(filename) if not files.is_foreign(document)]
    wrong = [verdict for verdict in verdicts(documents, namespace=namespace) if verdict.errors]
    if wrong:
        raise CommandError(*(line for verdict in wrong for line in verdict.lines()), exit_code=WRONG_INPUT)
    manifests = [(document, files.content(document, namespace=namespace)) for document in documents]
    applied = []
    for kind, collection in COLLECTIONS.items():
        for document, data in manifests:
            if data["kind"] == kind:
                applied.append(_put(document, data, collection, api=api))
                if output is OutputFormat.TABLE:
                    print(f"{kind} {data['metadata']['namespace']}/{data['metadata']['name']} {applied[-1]['result']}")
    if output is not OutputFormat.TABLE:
        print(render.dump({"items": [one["object"] for one in applied]}, output))


def _put(document: Document, data: Any, collection: str, *, api: str) -> dict[str, Any]:
    path = f"{collection}/{data['metadata']['name']}"
    with Rest(api, namespace=data["metadata"]["namespace"]) as rest:
        try:
            before = _generation(rest, path)
            made = rest.put(path, data)
        except RefusedError as failure:
            raise CommandError(*_placed(document, data, failure), exit_code=failure.exit_code) from None
    after = made["metadata"]["generation"]
    result = "created" if before is None else "unchanged" if before == after else "configured"
    return {"object": made, "result": result}


def _generation(rest: Rest, path: str) -> int | None:
    try:
        return int(rest.get(path)["metadata"]["generation"])
    except RefusedError as failure:
        if failure.status == 404:  # noqa: PLR2004
            return None
        raise


def _placed(document: Document, data: Any, failure: RefusedError) -> list[str]:
    """Return what the API refused, with its place in the file."""
    if not failure.errors:
        return [f"{document.source}:{document.line}: {files.title(data)}: {failure}"]
    return [f"{document.source}:{document.line_of(error['field'])}: {error['detail']}" for error in failure.errors]

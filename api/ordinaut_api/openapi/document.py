"""
The document itself: what FastAPI knows of the routes, completed with what only we know.

``/openapi.json`` serves it, and ``make openapi`` writes it to ``docs/openapi.json``. A route says its operation,
parameters and answer; bodies, preconditions, problems, rights and examples are added here by rule, so that a new route
can't lack them.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import RouteContext, iter_route_contexts

import ordinaut
from ordinaut import shapes
from ordinaut_api.change import REPLAYED
from ordinaut_api.identity import guard
from ordinaut_api.openapi import bodies, parts
from ordinaut_api.openapi.examples import ANSWERS, STREAMS
from ordinaut_api.openapi.schemas import PREFIX

Operation = dict[str, Any]

_DESCRIPTION: Final = (
    "Time, state and discipline for AI agents. Objects look like those of Kubernetes; every error is a problem of RFC "
    "9457 whose `type` programs decide by."
)
_OF_CALLERS: Final = ("403", "404")
"""Problems that nobody meets who has no identity."""


def document(app: FastAPI) -> dict[str, Any]:
    """Return the description of an application."""
    found = get_openapi(
        title="Ordinaut",
        version=ordinaut.__version__,
        summary="The REST API of Ordinaut.",
        description=_DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": description} for name, description in parts.TAGS],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        servers=[{"url": "/"}],
    )
    for route, method in _operations(app):
        _complete(found["paths"][route.path][method.lower()], route, method)
    _define(found)
    return found


def _operations(app: FastAPI) -> Iterator[tuple[RouteContext, str]]:
    for route in iter_route_contexts(list(app.routes)):
        if getattr(route, "include_in_schema", False):
            for method in sorted(route.methods or ()):
                yield route, method


def _complete(operation: Operation, route: RouteContext, method: str) -> None:
    path, name = str(route.path), operation["operationId"]
    operation["parameters"] = [
        *({"$ref": f"#/components/parameters/{one}"} for one in _parameters(path, method, name)),
        *operation.get("parameters", []),
    ]
    if request := bodies.of_operation(name):
        operation["requestBody"] = request
    _answer(operation, path, method)
    if guard.needs_identity(route):
        operation["security"] = [{"bearer": []}]
    if guard.needs_signature(route):
        operation["security"] = [{"signature": []}]
        for status in _OF_CALLERS:
            del operation["responses"][status]
    if right := guard.right_of(route):
        operation["x-ordinaut-right"] = str(right)


def _parameters(path: str, method: str, name: str) -> Iterator[str]:
    if "{namespace}" in path:
        yield "namespace"
    if method == "POST":
        yield "idempotencyKey"
    if _has_preconditions(path, method):
        yield "ifMatch"
    if method == "PUT":
        yield "ifNoneMatch"
    if name in STREAMS:
        yield "lastEventId"


def _has_preconditions(path: str, method: str) -> bool:
    return method in {"PUT", "PATCH", "DELETE"} or path.endswith(("/pause", "/resume", "/snooze"))


def _answer(operation: Operation, path: str, method: str) -> None:
    """Complete what an operation is answered with: examples, headers and problems."""
    name = operation["operationId"]
    answers = operation["responses"] = {
        status: answer for status, answer in operation["responses"].items() if status.startswith("2")
    }
    for status, answer in answers.items():
        example = ANSWERS.get(f"{name} {status}", ANSWERS.get(name))
        if example is not None and (content := answer.get("content", {}).get("application/json")):
            content["example"] = example
        if stream := STREAMS.get(name):
            answer["content"] = {"text/event-stream": {"schema": {"type": "string"}, "example": stream}}
        if headers := list(_headers(path, method, status)):
            answer["headers"] = {one: {"$ref": f"#/components/headers/{one}"} for one in headers}
    for status in _problems(path, method, has_body="requestBody" in operation):
        answers[str(status)] = {"$ref": f"#/components/responses/{parts.problem_name(status)}"}


def _headers(path: str, method: str, status: str) -> Iterator[str]:
    if status != "204" and _is_declared(path, method):
        yield "ETag"
    if method == "POST" and (status == "201" or path.endswith(("/run", "/retry"))):
        yield "Location"
    if method == "POST":
        yield REPLAYED


def _is_declared(path: str, method: str) -> bool:
    """Whether an answer is a declared object, not a list of them; what is posted to one makes something else."""
    collection = path.removeprefix("/v1/namespaces/{namespace}/").split("/")[0]
    return collection in {"tasks", "pipelines", "tools", "hooks"} and (
        path.endswith(("/pause", "/resume", "/snooze")) or (path.endswith("/{name}") and method != "POST")
    )


def _problems(path: str, method: str, *, has_body: bool) -> list[int]:
    if not path.startswith("/v1/"):
        return []
    found = {401, 429, 503}
    if "{namespace}" in path:
        found |= {403, 422}
    if any(part in path for part in ("{name}", "{run_id}", "{backfill_id}")):
        found |= {404}
    if method != "GET":
        found |= {409}
    if has_body:
        found |= {400, 413, 415}
    if _has_preconditions(path, method):
        found |= {412}
    return sorted(found)


def _define(found: dict[str, Any]) -> None:
    """Put everything that is referred to among the components, and nothing else."""
    components = found.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas |= bodies.definitions() | _problem_schemas()
    components["parameters"] = parts.PARAMETERS
    components["headers"] = parts.HEADERS
    components["responses"] = parts.responses()
    components["securitySchemes"] = parts.SECURITY
    while unused := schemas.keys() - _referred(found):
        for name in unused:
            del schemas[name]
    components["schemas"] = dict(sorted(schemas.items()))


def _problem_schemas() -> dict[str, Any]:
    schema = shapes.ProblemShape.model_json_schema(by_alias=True, ref_template=PREFIX + "{model}")
    return {**schema.pop("$defs", {}), "Problem": schema}


def _referred(value: object) -> set[str]:
    """Return the names of the schemas that something refers to."""
    if isinstance(value, dict):
        own = {value["$ref"].removeprefix(PREFIX)} if isinstance(value.get("$ref"), str) else set()
        return own.union(*map(_referred, value.values()))
    if isinstance(value, list | tuple):
        return set().union(*map(_referred, value))
    return set()


def text(app: FastAPI) -> bytes:
    """Return the document as it is committed."""
    return orjson.dumps(document(app), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main() -> None:
    """Write the document into the file that the command line names."""
    from ordinaut_api.app import create_app  # noqa: PLC0415 - which serves this document
    from ordinaut_api.settings import ApiSettings  # noqa: PLC0415

    parser = argparse.ArgumentParser(description="Write the OpenAPI document of Ordinaut.")
    parser.add_argument("--write", type=Path, required=True, metavar="FILE", help="file to write")
    file: Path = parser.parse_args().write
    file.write_bytes(
        text(create_app(ApiSettings.model_validate({"database_url": "postgresql://nobody@127.0.0.1/none"})))
    )


if __name__ == "__main__":
    main()

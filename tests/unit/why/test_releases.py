"""What would release something can be typed and sent: each command exists, and each path of the API."""

import inspect
import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
import typer
from click import Context, Group
from pydantic import SecretStr

from ordinaut.shapes import Release
from ordinaut.why.releases import Releases
from ordinaut_api.app import create_app
from ordinaut_api.settings import ApiSettings
from ordinaut_cli.app import app

_GIVEN: dict[str, Any] = {
    "run": UUID(int=7),
    "task": "brief",
    "tool": "web",
    "pipeline": "scan",
    "queue": "gpu",
    "description": "look",
    "origin": "API",
    "change": "mend it",
}


def releases() -> Iterator[Any]:
    made = Releases("team-a")
    for name, method in inspect.getmembers(made, inspect.ismethod):
        if not name.startswith("_"):
            taken = inspect.signature(method).parameters
            yield pytest.param(method(**{key: value for key, value in _GIVEN.items() if key in taken}), id=name)
    yield pytest.param(made.edit_task("brief", origin="API", change="wake it", body={"spec": {}}), id="patch")


@pytest.mark.parametrize("release", list(releases()))
def test_the_command_exists_and_takes_what_is_typed(release: Release) -> None:
    words = str(release.command).split()
    command: Any = typer.main.get_command(app)
    context = Context(command)
    while isinstance(command, Group):
        command = command.get_command(context, words[0])
        assert command is not None, release.command
        words = words[1:]
    command.make_context("test", words)  # parses, and runs nothing


@pytest.mark.parametrize("release", [one for one in releases() if one.values[0].path])
def test_the_request_is_one_of_the_api(release: Release) -> None:
    served = create_app(ApiSettings(database_url=SecretStr("postgresql://nobody@127.0.0.1/none"))).openapi()["paths"]
    found = [
        path
        for path, methods in served.items()
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), str(release.path)) and str(release.method).lower() in methods
    ]
    assert found


@pytest.mark.parametrize("origin", ["Kubernetes", "Directory"])
def test_what_is_declared_elsewhere_is_edited_there(origin: str) -> None:
    release = Releases("team-a").edit_task("brief", origin=origin, change="set spec.suspend to false")
    assert (release.command, release.method) == (None, None)
    assert release.description.startswith("set spec.suspend to false")

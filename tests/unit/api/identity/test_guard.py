"""Every route under /v1 has exactly one guard; a new one without it ends the process at its start."""

from typing import Annotated

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import iter_route_contexts
from pydantic import SecretStr

from ordinaut.access.caller import Caller
from ordinaut.access.rights import ROLES, Right
from ordinaut_api.app import create_app
from ordinaut_api.identity.guard import Call, check, guard, known, needs_identity, right_of
from ordinaut_api.settings import ApiSettings

SETTINGS = ApiSettings(database_url=SecretStr("postgresql://nobody@127.0.0.1/none"))


def routes() -> dict[str, Right | None]:
    return {
        f"{method} {route.path}": right_of(route)
        for route in iter_route_contexts(create_app(SETTINGS).routes)
        for method in sorted(getattr(route, "methods", None) or ())
        if str(route.path).startswith("/v1")
    }


def test_every_route_asks_for_a_right_that_a_role_has() -> None:
    found = routes()
    signed = "POST /v1/namespaces/{namespace}/hooks/{name}"
    assert {path for path, right in found.items() if right is None} == {"GET /v1/whoami", signed}
    assert {right for right in found.values() if right} <= frozenset().union(*ROLES.values())
    assert len(found) > 10


def app_with(*declared: str) -> FastAPI:
    router = APIRouter(prefix="/v1/namespaces/{namespace}")

    @router.get("/one", dependencies=[guard("get", "tasks")])
    async def one() -> None: ...

    @router.get("/two")
    async def two(call: Annotated[Call, guard("list", "runs")]) -> None: ...

    @router.get("/known")
    async def known_(caller: Annotated[Caller, known()]) -> None: ...

    if "none" in declared:

        @router.get("/none")
        async def none() -> None: ...

    if "twice" in declared:

        @router.get("/twice", dependencies=[guard("get", "tasks")])
        async def twice(call: Annotated[Call, guard("get", "runs")]) -> None: ...

    outer = APIRouter()
    outer.include_router(router)
    app = FastAPI()
    app.include_router(outer)

    @app.get("/healthz")
    async def healthz() -> None: ...

    return app


def test_guards_are_found_in_every_form() -> None:
    app = app_with()
    check(app.routes)
    found = {str(route.path).rpartition("/")[2]: route for route in iter_route_contexts(app.routes)}
    assert right_of(found["one"]) == Right("get", "tasks")
    assert right_of(found["two"]) == Right("list", "runs")
    assert right_of(found["known"]) is None
    assert needs_identity(found["known"])
    assert not needs_identity(found["healthz"])


@pytest.mark.parametrize("wrong", ["none", "twice"])
def test_a_route_with_no_guard_or_with_two_is_named(wrong: str) -> None:
    with pytest.raises(TypeError, match=f"/v1/namespaces/{{namespace}}/{wrong}$"):
        check(app_with(wrong).routes)

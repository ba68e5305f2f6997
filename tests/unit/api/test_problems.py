"""How errors become problems, and how requests are judged before any route sees them."""

import psycopg
import pytest
from psycopg_pool import PoolTimeout
from starlette.datastructures import Headers

from ordinaut.errors import Conflict, FieldError, Invalid, Mistake, NotFound, StoreUnready
from ordinaut_api.gate import request_id, stranger
from ordinaut_api.problems import invalid, pointer, problem_of


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "#"),
        ("spec", "#/spec"),
        ("spec.schedules[0].cron", "#/spec/schedules/0/cron"),
        ("spec.steps[12].with.items[3]", "#/spec/steps/12/with/items/3"),
        ('spec.params["a.b"].c', "#/spec/params/a.b/c"),
        ("a/b.c~d", "#/a~1b/c~0d"),
    ],
)
def test_a_field_has_a_json_pointer(path: str, expected: str) -> None:
    assert pointer(path) == expected


@pytest.mark.parametrize(
    ("error", "status", "slug"),
    [
        (NotFound("x"), 404, "not-found"),
        (Conflict("x"), 409, "conflict"),
        (Invalid([FieldError("a", 1, "wrong", "mend it")]), 422, "invalid"),
        (StoreUnready(), 503, "unavailable"),
        (psycopg.OperationalError("gone"), 503, "unavailable"),
        (PoolTimeout("none"), 503, "unavailable"),
        (psycopg.errors.UndefinedTable("run"), 503, "unavailable"),
        (psycopg.errors.QueryCanceled("slow"), 503, "unavailable"),
    ],
)
def test_errors_of_the_core_and_the_database_are_problems(error: Exception, status: int, slug: str) -> None:
    found = problem_of(error)
    assert found is not None
    assert (found.status, found.type) == (status, f"urn:ordinaut:problem:{slug}")
    assert ("Retry-After" in found.headers) == (status == 503)


@pytest.mark.parametrize("error", [KeyError("x"), psycopg.errors.SyntaxError("x"), RuntimeError("x")])
def test_a_defect_is_no_problem_that_could_be_explained(error: Exception) -> None:
    assert problem_of(error) is None


def test_a_mistake_carries_the_text_of_kubectl_and_its_parts() -> None:
    mistakes = [
        FieldError("spec.cron", "x" * 500, "not a cron expression", "write five fields"),
        FieldError("spec.steps", [1, 2], "too many", "write fewer"),
        FieldError("spec.name", None, "", "", Mistake.REQUIRED),
    ]
    response = invalid(mistakes).response(instance="/", request_id="r")
    body = bytes(response.body).decode()
    assert response.status_code == 422
    assert '"detail":"spec.name: Required value"' in body
    assert '"message":"Required value"' in body
    assert "x" * 120 not in body
    assert '"value":null' in body
    assert "3 mistakes" in body


@pytest.mark.parametrize(
    ("host", "origin", "refused"),
    [
        ("127.0.0.1:8080", None, False),
        ("localhost", "http://localhost:3000", False),
        ("[::1]:8080", None, False),
        ("127.8.8.8", None, False),
        ("ordinaut.example", None, True),
        ("localhost.example", None, True),
        ("10.0.0.1:8080", None, True),
        ("0.0.0.0", None, True),
        ("", None, True),
        ("127.0.0.1", "https://example.com", True),
        ("127.0.0.1", "null", True),
    ],
)
def test_only_this_machine_may_be_asked_by_this_machine(host: str, origin: str | None, refused: bool) -> None:
    headers = {"host": host} | ({"origin": origin} if origin else {})
    assert (stranger(Headers(headers)) is not None) == refused


def test_a_request_id_is_kept_only_if_it_can_do_no_harm() -> None:
    assert request_id("trace-1.2:3_4") == "trace-1.2:3_4"
    made = {request_id(given) for given in (None, "", "a b", "x" * 65, "a\nb", "ü")}
    assert len(made) == 6
    assert all(len(one) == 32 for one in made)

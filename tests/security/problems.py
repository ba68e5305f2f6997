"""What every refusal must look like: a problem of a known kind, which tells nothing of the inside."""

from typing import Any, Final

import httpx2

from ordinaut import shapes
from ordinaut_api.problems import MEDIA_TYPE, SLUGS, TYPE_PREFIX

_INSIDE: Final = ("Traceback", "psycopg", "site-packages", "SELECT ", "ordinaut/", ".py")
"""What no caller is to read."""


def refused(answer: httpx2.Response, *slugs: str) -> dict[str, Any]:
    """Check that an answer is a problem of one of these kinds, and return it."""
    assert answer.headers.get("content-type") == MEDIA_TYPE, (answer.status_code, answer.text[:500])
    found: dict[str, Any] = answer.json()
    shapes.ProblemShape.model_validate(found)
    slug = found["type"].removeprefix(TYPE_PREFIX)
    assert slug in slugs, (answer.request.method, str(answer.request.url)[:200], answer.text[:500])
    assert SLUGS[slug] == answer.status_code == found["status"]
    assert not [part for part in _INSIDE if part in answer.text], answer.text[:500]
    return found


def steady(answer: httpx2.Response) -> dict[str, Any]:
    """Return a problem without what tells one request from the next."""
    return {key: value for key, value in answer.json().items() if key not in {"instance", "requestId"}}

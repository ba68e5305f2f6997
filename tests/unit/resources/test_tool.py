from typing import Any

import pytest

from tests.unit.resources.documents import mistake, mistakes, parsed_tool, tool


def test_a_tool_with_every_supported_field_is_read() -> None:
    spec: dict[str, Any] = {
        "http": {"url": "https://weather.tools:8443/forecast?x=1", "method": "GET", "headers": {"X-Team": "blue"}},
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "object", "properties": {"a": {"const": None}}},
        "timeout": "10s",
        "retryStrategy": {"limit": 5},
    }
    assert parsed_tool(tool() | {"spec": spec}).spec.canonical() == spec


def test_a_call_has_a_timeout_even_if_nobody_wrote_one() -> None:
    assert parsed_tool(tool()).spec.timeout == "30s"


@pytest.mark.parametrize("url", ["http://a", "http://[::1]:80/x", "https://a.b.svc:1/?q=a%20b"])
def test_addresses_that_are_right(url: str) -> None:
    assert parsed_tool(tool(url=url)).spec.http


@pytest.mark.parametrize(
    "url",
    ["ftp://a", "a.b/c", "http://", "http://u:p@a/", "http://a/#x", "http://a/\n", "file:///etc/passwd", "http://a b"],
)
def test_addresses_that_are_wrong(url: str) -> None:
    error = mistake(tool(url=url))
    assert (error.field, error.message) == ("spec.http.url", "not the address of a tool")


@pytest.mark.parametrize("headers", [{"X Y": "a"}, {"X": "a\nB: c"}, {"": "a"}, {"X": "ä"}])
def test_headers_that_would_break_the_request_are_refused(headers: dict[str, str]) -> None:
    assert mistake(tool(headers=headers)).message == "not headers of HTTP"


@pytest.mark.parametrize("name", ["Host", "content-length", "Idempotency-Key"])
def test_headers_that_the_worker_sets_are_refused(name: str) -> None:
    assert mistake(tool(headers={name: "a"})).message == "a header that Ordinaut sets itself"


def test_a_tool_is_one_thing() -> None:
    spec = {"http": {"url": "http://a"}, "mcp": {"url": "http://a"}}
    assert "found: http mcp" in str(mistakes(tool() | {"spec": spec})[0])

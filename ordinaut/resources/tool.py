"""
Tool: something outside that a step can call, by HTTP or over the Model Context Protocol.

The worker looks a Tool up when a step starts, checks the input against ``inputSchema``, calls, and checks the answer
against ``outputSchema``.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from ordinaut.resources.part import Part
from ordinaut.resources.retry import RetryStrategy
from ordinaut.resources.rules import NotYet, Rule, cel_string, exactly_one, pattern
from ordinaut.resources.scalars import PositiveDuration

OWN_HEADERS: Final = (
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "proxy-authorization",
    "idempotency-key",
)
"""Request headers that the worker or its HTTP client sets, lower-case."""

_HEADER_NAME: Final = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$"
_HEADER_VALUE: Final = "^[\\t -~]*$"

Url = Annotated[
    str,
    Field(min_length=1, max_length=2048),
    pattern(
        '^https?://[A-Za-z0-9._\\[\\]:-]+([/?][!-"$-~]*)?$',
        message="not the address of a tool",
        remedy="write an http or https URL without user, password and fragment, such as http://weather.tools/forecast",
    ),
]

_header_name = pattern(_HEADER_NAME, message="", remedy="")
_header_value = pattern(_HEADER_VALUE, message="", remedy="")

Headers = Annotated[
    dict[str, Annotated[str, Field(max_length=4096)]],
    Field(max_length=32),
    Rule(
        cel=f"self.all(name, name.matches({cel_string(_HEADER_NAME)}) && "
        f"self[name].matches({cel_string(_HEADER_VALUE)}))",
        holds=lambda headers: all(
            _header_name.holds(name) and _header_value.holds(value) for name, value in headers.items()
        ),
        message="not headers of HTTP",
        remedy="write names of letters, digits and - and values of printable ASCII",
    ),
    Rule(
        cel=f"!self.exists(name, name.lowerAscii() in [{', '.join(cel_string(name) for name in OWN_HEADERS)}])",
        holds=lambda headers: not any(name.lower() in OWN_HEADERS for name in headers),
        message="a header that Ordinaut sets itself",
        remedy=f"leave out {', '.join(OWN_HEADERS)}",
    ),
]


class BasicAuth(Part):
    """A user and password, sent as RFC 7617 says."""

    username: str = Field(min_length=1, max_length=1024)
    password: str = Field(min_length=1, max_length=1024)
    """A template of a Secret: ${secrets.NAME.KEY}."""


class HttpAuth(Part):
    """How a call proves who it comes from."""

    rules = (exactly_one("bearer", "basic"),)

    bearer: str | None = Field(default=None, min_length=1, max_length=1024)
    """A template of a Secret that holds a token: ${secrets.NAME.KEY}."""
    basic: BasicAuth | None = None


class HttpTool(Part):
    """A tool that is one request of HTTP."""

    url: Url
    """Where to send the request. GET and DELETE carry the input as query, the others as a JSON body."""
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] = "POST"
    headers: Headers = Field(default={})
    """Headers to send besides those of the request itself."""
    auth: Annotated[HttpAuth, NotYet("leave it out until Secrets can be used")] | None = None


class McpTool(Part):
    """A server of the Model Context Protocol (streamable HTTP), whose tools are used as server.tool."""

    url: Url


class ToolSpec(Part):
    """Where a tool is, what it takes and gives, and how a call of it behaves."""

    rules = (exactly_one("http", "mcp"),)

    http: HttpTool | None = None
    mcp: Annotated[McpTool, NotYet("give the tool an http address")] | None = None
    input_schema: dict[str, Any] = Field(default={}, max_length=64)
    """JSON Schema (2020-12) of the input; a step with other input fails before the call."""
    output_schema: dict[str, Any] = Field(default={}, max_length=64)
    """JSON Schema (2020-12) of the result; a step with another result fails."""
    timeout: PositiveDuration = "30s"
    """How long one call may take. Default: 30s."""
    retry_strategy: RetryStrategy | None = None
    """When a failed call is tried again, for steps that do not say it themselves."""
    idempotent: Annotated[bool, NotYet("leave it out: every call carries an Idempotency-Key")] = False
    """True: calling the tool twice with the same Idempotency-Key has the effect of calling it once."""

"""
Tools: what a step can call.

A :class:`Tool` is what the toolbox hands out; each kind of tool has a module that makes the ``call``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from ordinaut.engine.schema import Schema
from ordinaut.resources.retry import RetryStrategy
from ordinaut.spans import Try


class Call(NamedTuple):
    """
    One call of a tool.

    ``idempotency_key`` is equal on every retry and every redelivery of the step, so that a tool can tell them from
    new work. ``traced`` is what the call belongs to in a trace, where there are traces.
    """

    arguments: Any
    idempotency_key: str
    namespace: str
    task: str
    run: str
    step: str
    traced: Try | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """
    A tool, ready to be called.

    ``call`` returns an awaitable of JSON and raises ``Transient`` or ``Permanent``. That of an ``immediate`` tool waits
    for nothing and returns the JSON itself; such a tool has no time limit. ``digest`` names the tool's declaration by
    content, None for built-in ones.
    """

    call: Callable[[Call], Any]
    input: Schema | None = None
    output: Schema | None = None
    timeout: timedelta | None = None
    retry: RetryStrategy | None = None
    digest: bytes | None = None
    immediate: bool = False

"""
Built-in tools, there without being declared.

``std.log`` writes a line to the worker's log and returns its input; ``std.fail`` fails, for trying out what happens
then.
"""

from typing import Any

from ordinaut.engine.schema import compile_schema
from ordinaut.errors import StepFailed, Transient
from ordinaut.logging import get_logger
from ordinaut_worker.tools import Call, Tool

log = get_logger(__name__)

_LOG_INPUT = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {}},
}
_FAIL_INPUT = {
    "type": "object",
    "additionalProperties": False,
    "properties": {"message": {"type": "string"}, "retryable": {"type": "boolean"}},
}


def _log(call: Call) -> Any:
    log.info(
        "std.log",
        message=call.arguments["message"],
        namespace=call.namespace,
        task=call.task,
        run=call.run,
        step=call.step,
    )
    return call.arguments


def _fail(call: Call) -> Any:
    message = call.arguments.get("message", "failed on purpose")
    if call.arguments.get("retryable", False):
        raise Transient(message)
    raise StepFailed(message)


BUILT_IN = {
    "std.log": Tool(_log, input=compile_schema(_LOG_INPUT, field="inputSchema"), immediate=True),
    "std.fail": Tool(_fail, input=compile_schema(_FAIL_INPUT, field="inputSchema"), immediate=True),
}
"""All built-in tools by name."""

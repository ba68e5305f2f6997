"""
Logs of every process: one JSON object a line, or readable lines on a terminal.

structlog and the standard library's loggers (kopf, uvicorn, APScheduler) end in the same formatter. Values are
escaped by it, so that a name with a line break or a terminal code can't forge a line. Fields bound with
``structlog.contextvars`` (task, run, step, worker) appear on each line of that context.
"""

import logging
import sys
from typing import Any, Literal

import structlog
from structlog.types import EventDict, WrappedLogger

LogFormat = Literal["json", "console"]

_QUIET = {
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "apscheduler": logging.WARNING,
    "asyncio": logging.WARNING,
}
"""Loggers whose INFO lines repeat what our own lines say."""


def configure(*, process: str, level: str = "INFO", log_format: LogFormat = "json") -> None:
    """Set up logging for a process; called once by its entry point, before anything is logged."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.stdlib.ExtraAdder(),
        _process_name(process),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: list[structlog.types.Processor] = (
        [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
        if log_format == "json"
        else [_escape, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(max(quiet, root.level))


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module."""
    return structlog.stdlib.get_logger(name)


def _process_name(process: str) -> structlog.types.Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return add


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make line breaks and terminal codes visible; JSON does that by itself."""
    return {key: _visible(value) for key, value in event.items()}


def _visible(value: Any) -> Any:
    if isinstance(value, str) and not value.isprintable():
        return value.encode("unicode_escape").decode()
    return value

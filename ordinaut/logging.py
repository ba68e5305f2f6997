"""
Logs of every process: one JSON object a line, or readable lines on a terminal.

Our own lines and those of the standard library's loggers (kopf, uvicorn, APScheduler) go through the same processors.
Values are escaped by them, so that a name with a line break or a terminal code can't forge a line. Fields bound with
``structlog.contextvars`` (task, run, step, worker) appear on each line of that context. Tracebacks are without local
variables, which may hold passwords.
"""

import logging
import sys
import traceback
from typing import Any, Literal, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.types import EventDict, ExcInfo, FilteringBoundLogger, Processor, WrappedLogger

LogFormat = Literal["json", "console"]

_QUIET = {
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
    "apscheduler": logging.ERROR,  # it warns of each round that a busy loop leaves out
    "asyncio": logging.WARNING,
}
"""Loggers whose lines below repeat what our own lines say, or say nothing new."""


def configure(*, process: str, level: str = "INFO", log_format: LogFormat = "json") -> None:
    """Set up logging for a process; called once by its entry point, before anything is logged."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _process_name(process),
    ]
    rendered: list[Processor] = _as_json() if log_format == "json" else _as_text(sys.stderr)
    structlog.configure(
        processors=[_logger_name, *shared, *rendered],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendered],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name, quiet in _QUIET.items():
        logging.getLogger(name).setLevel(max(quiet, root.level))


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module."""
    # An initial value can't be called `logger`, which is a parameter's name.
    logger: FilteringBoundLogger = structlog.get_logger(module=name)
    return logger


def _logger_name(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["logger"] = event.pop("module")
    return event


def _process_name(process: str) -> Processor:
    def add(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["process"] = process
        return event

    return add


def _as_json() -> list[Processor]:
    exceptions = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    return [exceptions, structlog.processors.JSONRenderer()]


def _as_text(stream: TextIO) -> list[Processor]:
    return [_escape, structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=_write_traceback)]


def _escape(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make line breaks and terminal codes visible; JSON does that by itself."""
    return {key: _visible(value) for key, value in event.items()}


def _visible(value: Any) -> Any:
    if isinstance(value, str) and not value.isprintable():
        return value.encode("unicode_escape").decode()
    return value


def _write_traceback(stream: TextIO, exc_info: ExcInfo) -> None:
    """Write a traceback as Python does, escaped, and indented so that none of it looks like a line of its own."""
    lines = "".join(traceback.format_exception(*exc_info)).splitlines()
    stream.writelines(f"\n  {_visible(line)}" for line in lines)

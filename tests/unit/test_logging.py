"""Logs: what users and tools write can't forge a line, and what is secret is not told."""

import json
import logging as standard
import re
from collections.abc import Callable, Iterator

import pytest
import structlog

from ordinaut import logging
from ordinaut.logging import LogFormat, get_logger

EVIL = 'x"\n2026-01-01T00:00:00Z [error] forged\r\x1b[31mred\x1b[0m\x9b31m\u202e'
"""Breaks lines, colours terminals (7 and 8 bit), and turns the direction of text."""


@pytest.fixture(autouse=True)
def _undone() -> Iterator[None]:
    """Leave logging as it was."""
    root = standard.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


Logged = Callable[[], list[str]]


@pytest.fixture
def logged(capsys: pytest.CaptureFixture[str]) -> Logged:
    """Return the lines logged since the last call."""
    return lambda: capsys.readouterr().err.split("\n")[:-1]


def parsed(lines: list[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in lines]


def test_a_line_is_one_json_object_that_says_who_and_when(logged: Logged) -> None:
    logging.configure(process="worker")

    get_logger("ordinaut.test").warning("lease ran out", run="r1", delivery=2)
    standard.getLogger("kopf.x").warning("watching %s", "tasks")

    ours, foreign = parsed(logged())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", str(ours.pop("timestamp")))
    assert ours == {
        "event": "lease ran out",
        "run": "r1",
        "delivery": 2,
        "level": "warning",
        "logger": "ordinaut.test",
        "process": "worker",
    }
    assert foreign["event"] == "watching tasks"
    assert (foreign["level"], foreign["logger"], foreign["process"]) == ("warning", "kopf.x", "worker")


def test_fields_of_the_context_stand_on_each_line(logged: Logged) -> None:
    logging.configure(process="api")

    with structlog.contextvars.bound_contextvars(request="q7"):
        get_logger("a").info("inside")
        standard.getLogger("b").info("inside, foreign")
    get_logger("a").info("outside")

    assert [line.get("request") for line in parsed(logged())] == ["q7", "q7", None]


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR"])
def test_lines_below_the_level_are_left_out(logged: Logged, level: str) -> None:
    logging.configure(process="worker", level=level)

    for logger in (get_logger("ours"), standard.getLogger("theirs")):
        for name in ("debug", "info", "warning", "error"):
            getattr(logger, name)(name)

    names = ["debug", "info", "warning", "error"]
    assert [line["event"] for line in parsed(logged())] == names[names.index(level.lower()) :] * 2


def test_loggers_that_say_nothing_new_are_quiet(logged: Logged) -> None:
    logging.configure(process="operator", level="DEBUG")

    standard.getLogger("apscheduler.scheduler").warning("maximum number of running instances reached")
    standard.getLogger("httpx2").info("HTTP Request: POST")

    assert logged() == []


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_value_breaks_out_of_its_line(logged: Logged, log_format: LogFormat) -> None:
    logging.configure(process="worker", log_format=log_format)

    get_logger("ours").info(f"said {EVIL}", task=EVIL, nested={"list": [EVIL], EVIL: 1}, data=EVIL.encode())
    standard.getLogger("theirs").info("said %s", EVIL)

    lines = logged()
    assert len(lines) == 2
    assert [line for line in lines if not line.isprintable()] == []
    assert all("forged" in line for line in lines)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_the_message_of_an_exception_forges_no_line(logged: Logged, log_format: LogFormat) -> None:
    logging.configure(process="worker", log_format=log_format)

    def fail() -> None:
        raise RuntimeError(EVIL)

    for report in (get_logger("ours").exception, standard.getLogger("theirs").exception):
        try:
            fail()
        except RuntimeError:
            report("broke off")

    lines = logged()
    assert [line for line in lines if not line.isprintable()] == []
    beginning = [line for line in lines if not line.startswith("  ")]
    assert len(beginning) == 2
    assert all("broke off" in line for line in beginning)
    assert "RuntimeError" in "\n".join(lines)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_traceback_tells_no_local_variable(logged: Logged, log_format: LogFormat) -> None:
    logging.configure(process="worker", log_format=log_format)

    def connect(url: str) -> None:
        raise RuntimeError(f"no answer from {url.rpartition('@')[2]}")

    secret = "".join(["hun", "ter", "2"])
    for report in (get_logger("ours").exception, standard.getLogger("theirs").exception):
        try:
            connect(f"postgresql://ordinaut:{secret}@db/ordinaut")
        except RuntimeError:
            report("broke off")

    text = "\n".join(logged())
    assert text.count("no answer from db/ordinaut") == 2
    assert "connect" in text
    assert secret not in text

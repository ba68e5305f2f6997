"""
The flags of ``python -m ordinaut_worker``.

They say what the environment says too, and count more than it; ``--help`` lists both. :func:`read` hands what was typed
to the settings, which check it: so a wrong value is refused in the same words, with the flag's name.
"""

import argparse
from collections.abc import Sequence
from typing import Final, NoReturn

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from ordinaut.settings import Flags, Given, variables
from ordinaut_worker.settings import WorkerSettings

QUEUE: Final = "--queue"
CONCURRENCY: Final = "--concurrency"


class _Parser(argparse.ArgumentParser):
    """Refuses in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{message}; {self.prog} --help lists what there is\n")


def read(arguments: Sequence[str]) -> Flags:
    """Return what was typed, by the settings that it is for; ends the process after ``--help`` or a wrong flag."""
    typed = _parser().parse_args(arguments)
    flags: dict[str, Given] = {}
    if typed.queue is not None:
        flags["worker_queues"] = Given(QUEUE, ",".join(typed.queue))
    if typed.concurrency is not None:
        flags["worker_slots"] = Given(CONCURRENCY, typed.concurrency)
    return flags


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m ordinaut_worker",
        description="Take runs from the queue and carry out their steps, until SIGTERM.",
        epilog=_epilog(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        QUEUE, action="append", metavar="NAME", help=_help("worker_queues", more=" May be given several times.")
    )
    parser.add_argument(CONCURRENCY, metavar="N", help=_help("worker_slots"))
    return parser


def _help(name: str, *, more: str = "") -> str:
    return f"{WorkerSettings.model_fields[name].description}{more}".replace("%", "%%")


def _epilog() -> str:
    """Return all variables of the environment."""
    lines = ["variables of the environment, which flags replace:"]
    for name, field in WorkerSettings.model_fields.items():
        lines += [f"  {variables(name, field)[0]}{_default(field)}", f"      {field.description}"]
    return "\n".join(lines)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return " (required)"
    if field.default_factory is not None:
        return ""
    default = field.get_default()
    if isinstance(default, SecretStr):
        default = default.get_secret_value()
    return f" (default {','.join(default) if isinstance(default, tuple) else default})"

"""
Completion for ``kubectl ordinaut``: the program ``kubectl_complete-ordinaut``, which kubectl calls for its plugin.

kubectl (1.26 or newer) hands over the words behind ``kubectl ordinaut``, the unfinished one last, and wants one
candidate a line and then a directive. Commands, options and their choices are completed; names of objects would take a
request for each key.
"""

import sys
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any, Final

import typer

NO_FILES: Final = ":4"
"""The directive: nothing but the candidates."""

FILES: Final = ":0"
"""The directive: names of files too."""

_FILE_OPTIONS: Final = frozenset({"-f", "--filename", "--file", "--token-file", "--kubeconfig", "--data"})


def main() -> None:
    """Answer kubectl."""
    from ordinaut_cli.app import app  # noqa: PLC0415 - the parts above can be tested without it

    print("\n".join(answer(typer.main.get_command(app), sys.argv[1:])))


def answer(root: Any, words: Sequence[str]) -> Iterator[str]:
    """Yield the lines of the answer: the candidates for the last word, and the directive."""
    *before, last = words or [""]
    command, previous, arguments = _walked(root, before)
    option = _option(command, previous)
    if option is not None and _takes_value(option):
        choices = [one for one in _choices(option) if one.startswith(last)]
        yield from choices
        yield FILES if previous in _FILE_OPTIONS and not choices else NO_FILES
        return
    yield from (one for one in _candidates(command, last, arguments) if one.startswith(last))
    yield NO_FILES if last.startswith("-") or hasattr(command, "commands") else _directive(command)


def _walked(root: Any, words: Sequence[str]) -> tuple[Any, str, int]:
    """Return the command that the words name, the word before the unfinished one, and how many arguments there are."""
    command, previous, arguments = root, "", 0
    for word in words:
        option = _option(command, previous)
        if word.startswith("-"):
            previous = word
            continue
        is_value = option is not None and _takes_value(option)
        previous = word
        if is_value:
            continue
        if hasattr(command, "commands") and word in command.commands:
            command, previous = command.commands[word], ""
        else:
            arguments += 1
    return command, previous, arguments


def _candidates(command: Any, last: str, arguments: int) -> Iterator[str]:
    if last.startswith("-"):
        yield from sorted(opt for param in command.params for opt in param.opts if opt.startswith("--"))
        yield "--help"
    elif hasattr(command, "commands"):
        yield from (f"{name}\t{one.get_short_help_str(80)}" for name, one in command.commands.items())
    else:
        wanted = [param for param in command.params if param.param_type_name == "argument"]
        if arguments < len(wanted):
            yield from _choices(wanted[arguments])


def _directive(command: Any) -> str:
    """Return the directive for an argument: some are folders."""
    metavars = {param.metavar for param in command.params if param.param_type_name == "argument"}
    return FILES if "DIR" in metavars else NO_FILES


def _option(command: Any, word: str) -> Any:
    return next((param for param in command.params if word.startswith("-") and word in param.opts), None)


def _takes_value(option: Any) -> bool:
    return not getattr(option, "is_flag", False)


def _choices(param: Any) -> list[str]:
    kind = param.type_descriptor.annotation
    return [str(one.value) for one in kind] if isinstance(kind, type) and issubclass(kind, Enum) else []

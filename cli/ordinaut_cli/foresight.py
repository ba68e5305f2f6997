"""When the tasks in files would run, computed here without asking anybody; for ``preview -f``."""

from collections.abc import Sequence

from ordinaut.declaration import examine
from ordinaut.declaration.nominal import upcoming
from ordinaut.errors import Invalid
from ordinaut.resources.manifest import Task
from ordinaut.resources.moment import format_instant
from ordinaut_cli import files, times
from ordinaut_cli.errors import WRONG_INPUT, CommandError


def coming(names: Sequence[str], *, namespace: str, count: int) -> dict[str, list[str]]:
    """Return the next times of each task in files, as if it were applied now."""
    now = times.now()
    found = {}
    for document in files.load(names):
        if files.is_foreign(document):
            continue
        try:
            resource = examine.check(files.content(document, namespace=namespace))
        except Invalid as invalid:
            raise CommandError(*files.mistakes(document, invalid.errors), exit_code=WRONG_INPUT) from None
        if isinstance(resource, Task):
            spec = resource.spec.canonical()
            following = upcoming(spec, anchor=now, after=now, limit=count)
            found[resource.metadata.name] = [format_instant(time) for time in following]
    if not found:
        raise CommandError(f"-f: {', '.join(names)}: no Task in there", exit_code=WRONG_INPUT)
    return found

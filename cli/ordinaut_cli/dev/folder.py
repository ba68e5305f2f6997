"""The folder in which ``ordinaut dev`` keeps its data between starts, and the lock that gives it to one at a time."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ordinaut_cli.errors import FAILED, WRONG_INPUT, CommandError


class DataFolder:
    """Where things lie in the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.postgres = root / "postgres"
        self.valkey = root / "valkey"
        self.logs = root / "logs"

    def log(self, name: str) -> Path:
        """Return the log file of a process."""
        return self.logs / f"{name}.log"


@contextlib.contextmanager
def held(root: Path) -> Iterator[DataFolder]:
    """Create the folder if need be and hold it; ends the command if another ``ordinaut dev`` has it."""
    folder = DataFolder(root.resolve())
    try:
        for path in (folder.root, folder.logs):
            path.mkdir(parents=True, exist_ok=True)
        lock = (folder.root / "lock").open("a+")
    except OSError as error:
        raise CommandError(
            f"--data: {root}: {error.strerror}; name a folder that can be written", exit_code=WRONG_INPUT
        ) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            raise CommandError(
                f"another `ordinaut dev` (process {lock.read().strip() or '?'}) uses the data in {folder.root}",
                "stop it, or choose another folder with --data",
                exit_code=FAILED,
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield folder

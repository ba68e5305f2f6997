"""A ZIP file of texts whose bytes depend on its content only: equal facts make equal bundles."""

import hashlib
import os
import zipfile
from pathlib import Path
from typing import Final

_BEGIN: Final = (1980, 1, 1, 0, 0, 0)
"""The first moment that a ZIP file knows."""

_MODE: Final = 0o600
_SUMS: Final = "SHA256SUMS"


class Bundle:
    """Files by their path below the one folder of the bundle."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._files: dict[str, bytes] = {}

    def add(self, path: str, text: str) -> None:
        """Add a file; a path that is there already gets a number."""
        place, number = path, 1
        while place in self._files:
            number += 1
            place = f"{path}.{number}"
        self._files[place] = (text if text.endswith("\n") or not text else f"{text}\n").encode()

    @property
    def paths(self) -> list[str]:
        """The paths of the files, in their order."""
        return sorted(self._files)

    def write(self, file: Path) -> None:
        """Write the ZIP file, for its owner only; raises ``FileExistsError`` if there is one."""
        sums = "".join(f"{hashlib.sha256(self._files[path]).hexdigest()}  {path}\n" for path in self.paths)
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(handle, "wb") as opened, zipfile.ZipFile(opened, "w", zipfile.ZIP_DEFLATED) as archive:
            for path in self.paths:
                self._put(archive, path, self._files[path])
            self._put(archive, _SUMS, sums.encode())

    def _put(self, archive: zipfile.ZipFile, path: str, content: bytes) -> None:
        entry = zipfile.ZipInfo(f"{self._folder}/{path}", _BEGIN)
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = _MODE << 16
        archive.writestr(entry, content)

"""Fixtures of the acceptance tests."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def place() -> Iterator[Path]:
    """
    A folder to start things in: not pytest's own, which no other user may enter, as PostgreSQL must run as one for
    root.
    """
    with tempfile.TemporaryDirectory(prefix="ordinaut-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)

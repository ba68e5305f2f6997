"""Keeps the contexts of whoever runs the tests out of them."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def config_file(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command line finds its contexts; there are none yet."""
    file = tmp_path_factory.mktemp("config") / "ordinaut" / "config.yaml"
    monkeypatch.setenv("ORDINAUT_CONFIG", str(file))
    return file

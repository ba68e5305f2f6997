"""Settings of the api: it can't be told to listen where others could reach it."""

import pytest

from ordinaut.settings import load
from ordinaut_api.settings import ApiSettings


@pytest.fixture(autouse=True)
def _database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", "postgresql://localhost/ordinaut")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_addresses_are_taken(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("ORDINAUT_API_HOST", host)
    assert load(ApiSettings).api_host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", "127.0.0.1.example.com", ""])
def test_an_address_that_others_can_reach_is_refused_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], host: str
) -> None:
    monkeypatch.setenv("ORDINAUT_API_HOST", host)
    with pytest.raises(SystemExit) as refused:
        load(ApiSettings)
    said = capsys.readouterr().err
    assert refused.value.code == 2
    assert said.startswith(f'ORDINAUT_API_HOST: "{host}": without identities, which come with a later release')
    assert "write 127.0.0.1 or ::1" in said

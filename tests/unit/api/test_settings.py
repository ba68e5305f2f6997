"""Settings of the api: without identities it can't listen where others could reach it, with them it can."""

from pathlib import Path

import pytest

from ordinaut.access.caller import Authority
from ordinaut.settings import load
from ordinaut_api.settings import ApiSettings


@pytest.fixture(autouse=True)
def _database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDINAUT_DATABASE_URL", "postgresql://localhost/ordinaut")


@pytest.fixture
def refusal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> "Refusal":
    return Refusal(monkeypatch, capsys)


class Refusal:
    """What a process is ended with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def of(self, **settings: str) -> str:
        """Return the lines for some settings."""
        for name, value in settings.items():
            self._monkeypatch.setenv(f"ORDINAUT_{name.upper()}", value)
        with pytest.raises(SystemExit) as refused:
            load(ApiSettings)
        assert refused.value.code == 2
        return self._capsys.readouterr().err


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_addresses_are_taken(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("ORDINAUT_API_HOST", host)
    assert load(ApiSettings).api_host == host


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", "127.0.0.1.example.com", ""])
def test_without_identities_an_address_that_others_can_reach_is_refused_with_the_remedy(
    refusal: Refusal, host: str
) -> None:
    said = refusal.of(api_host=host)
    assert said.startswith(f'ORDINAUT_API_HOST: "{host}": without identities the api listens on the loopback interface')
    assert "write 127.0.0.1 or ::1, or name who vouches for callers in ORDINAUT_AUTHENTICATION" in said


def test_with_identities_any_address_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDINAUT_API_HOST", "0.0.0.0")
    monkeypatch.setenv("ORDINAUT_AUTHENTICATION", "kubernetes, tokens")
    monkeypatch.setenv("ORDINAUT_ACCESS_FILE", "/etc/ordinaut/access.yaml")
    found = load(ApiSettings)
    assert (found.api_host, found.access_file) == ("0.0.0.0", Path("/etc/ordinaut/access.yaml"))
    assert found.authentication == (Authority.KUBERNETES, Authority.TOKENS)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"authentication": "local,tokens"}, "local stands alone"),
        ({"authentication": "tokens"}, "tokens needs ORDINAUT_ACCESS_FILE"),
        ({"authentication": "oidc", "access_file": "x"}, "oidc needs ORDINAUT_OIDC_ISSUER and ORDINAUT_OIDC_AUDIENCE"),
        ({"authentication": "oidc"}, "oidc needs ORDINAUT_ACCESS_FILE"),
        ({"authentication": "ldap"}, "Input should be 'kubernetes', 'oidc', 'tokens' or 'local'"),
        ({"authentication": ""}, "ORDINAUT_AUTHENTICATION"),
        ({"oidc_issuer": "http://issuer.example"}, "http is for a loopback address only"),
        ({"oidc_issuer": "issuer.example"}, "write an https address"),
        ({"oidc_issuer": "https://issuer.example?x=1"}, "write an https address"),
        ({"oidc_issuer": "https://user:pass@issuer.example"}, "write an https address"),
        ({"oidc_audience": ""}, "ORDINAUT_OIDC_AUDIENCE"),
        ({"kubernetes_audience": ""}, "ORDINAUT_KUBERNETES_AUDIENCE"),
        ({"cors_origins": "https://a.example"}, "ORDINAUT_CORS_ORIGINS: without identities no other site"),
        ({"cors_origins": "*", "authentication": "kubernetes"}, "write each as https://host or https://host:port"),
        ({"cors_origins": "https://a.example/", "authentication": "kubernetes"}, "write each as https://host"),
        ({"rate_limit": "-1"}, "greater than or equal to 0"),
        ({"forwarded_allow_ips": "*"}, "write IP addresses or networks"),
        ({"forwarded_allow_ips": "proxy.example"}, "write IP addresses or networks"),
    ],
    ids=str,
)
def test_what_is_wrong_is_told(refusal: Refusal, settings: dict[str, str], said: str) -> None:
    assert said in refusal.of(**settings)


def test_origins_and_proxies_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDINAUT_AUTHENTICATION", "kubernetes")
    monkeypatch.setenv("ORDINAUT_CORS_ORIGINS", "https://a.example, http://[::1]:3000")
    monkeypatch.setenv("ORDINAUT_FORWARDED_ALLOW_IPS", "10.0.0.0/8,fd00::1")
    found = load(ApiSettings)
    assert found.cors_origins == ("https://a.example", "http://[::1]:3000")
    assert found.forwarded_allow_ips == "10.0.0.0/8,fd00::1"


@pytest.mark.parametrize("issuer", ["https://issuer.example", "https://issuer.example/realms/x", "http://127.0.0.1:9"])
def test_an_issuer_is_kept_as_it_is_written(monkeypatch: pytest.MonkeyPatch, issuer: str) -> None:
    monkeypatch.setenv("ORDINAUT_OIDC_ISSUER", issuer)
    assert load(ApiSettings).oidc_issuer == issuer

"""Our own credentials towards the API server: from a pod's service account, else from a kubeconfig."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ordinaut.errors import Invalid
from ordinaut_api.identity.cluster import credentials
from tests.cluster.certificates import CertificateAuthority, KeyPair


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("pki") / "pki")


@pytest.fixture(scope="module")
def client(authority: CertificateAuthority) -> KeyPair:
    return authority.issue("api")


@pytest.fixture(autouse=True)
def _outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))


def write(folder: Path, authority: CertificateAuthority, user: dict[str, Any], **cluster: str) -> None:
    config = {
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [
            {
                "name": "k",
                "cluster": {
                    "server": "https://k:6443",
                    "certificate-authority": str(authority.certificate),
                    **cluster,
                },
            }
        ],
        "users": [{"name": "u", "user": user}],
        "current-context": "c",
    }
    (folder / "kubeconfig").write_text(json.dumps(config))


def test_a_token_of_the_kubeconfig(tmp_path: Path, authority: CertificateAuthority) -> None:
    write(tmp_path, authority, {"token": "t"})
    found = credentials()
    assert (found.server, found.token()) == ("https://k:6443", "t")
    assert found.tls.get_ca_certs()


def test_a_token_in_a_file_is_read_anew(tmp_path: Path, authority: CertificateAuthority) -> None:
    (tmp_path / "token").write_text("one\n")
    write(tmp_path, authority, {"tokenFile": "token"})
    found = credentials()
    assert found.token() == "one"
    (tmp_path / "token").write_text("two\n")
    assert found.token() == "two"


def test_a_certificate_in_files_or_in_the_kubeconfig(
    tmp_path: Path, authority: CertificateAuthority, client: KeyPair
) -> None:
    write(tmp_path, authority, {"client-certificate": str(client.certificate), "client-key": str(client.key)})
    assert credentials().token() is None

    def encoded(path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    user = {"client-certificate-data": encoded(client.certificate), "client-key-data": encoded(client.key)}
    write(tmp_path, authority, user)
    assert credentials().token() is None


def test_the_service_account_of_a_pod_comes_first(
    tmp_path: Path, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, authority, {"token": "t"})
    (tmp_path / "token").write_text("mounted")
    (tmp_path / "ca.crt").write_bytes(authority.certificate.read_bytes())
    for host, server in (("10.96.0.1", "https://10.96.0.1:443"), ("fd00::1", "https://[fd00::1]:443")):
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
        found = credentials(mounted=tmp_path)
        assert (found.server, found.token()) == (server, "mounted")


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "[]",
        "{",
        "contexts: []",
        "{contexts: [], clusters: [], users: [], current-context: none}",
        '{"contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}], "current-context": "c",'
        ' "clusters": [{"name": "k", "cluster": {"server": "https://k"}}],'
        ' "users": [{"name": "u", "user": {"exec": {"command": "sh"}}}]}',
        '{"contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}], "current-context": "c",'
        ' "clusters": [{"name": "k", "cluster": {"server": "https://k", "certificate-authority-data": "c2VjcmV0"}}],'
        ' "users": [{"name": "u", "user": {"token": "secret"}}]}',
    ],
)
def test_what_can_not_be_used_is_told_without_its_contents(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "kubeconfig").write_text(text)
    with pytest.raises(Invalid, match="can't be used as a kubeconfig") as caught:
        credentials()
    assert "set KUBECONFIG to a file with a token or a certificate" in str(caught.value)
    assert "secret" not in str(caught.value)

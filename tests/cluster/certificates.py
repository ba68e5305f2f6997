"""
Makes the certificates and keys that a control plane needs: one authority signs its servers and its clients.

`ControlPlane` makes an authority for each start, `FaultProxy` asks it for a serving certificate of its own.
Kubernetes reads a client's user name from the common name and its groups from the organizations (`system:masters` may
do everything).
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID_FOR = timedelta(days=30)  # longer than any `make cluster` stays up
_CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class KeyPair:
    """A certificate and its private key, as PEM files."""

    certificate: Path
    key: Path


class CertificateAuthority:
    """Signs certificates; its own is in `certificate`, all files are in `directory`."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(mode=0o700)
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("ordinaut-test-authority")
        usage = x509.BasicConstraints(ca=True, path_length=0)
        builder = self._builder(self._name, self._key).add_extension(usage, critical=True)
        self.certificate = self._save("authority", self._key, builder).certificate

    def issue(self, name: str, *, organizations: Sequence[str] = (), addresses: Sequence[str] = ()) -> KeyPair:
        """Sign a certificate for a server at IP `addresses`, or for the client `name` if there are none."""
        key = ec.generate_private_key(ec.SECP256R1())
        purpose = ExtendedKeyUsageOID.SERVER_AUTH if addresses else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(_name(name, *organizations), key)
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        if addresses:
            alternatives = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return self._save(name.replace(":", "-"), key, builder)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        public = self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + _VALID_FOR)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        )

    def _save(self, stem: str, key: ec.EllipticCurvePrivateKey, builder: x509.CertificateBuilder) -> KeyPair:
        signed = builder.sign(self._key, hashes.SHA256())
        pair = KeyPair(certificate=self._directory / f"{stem}.crt", key=self._directory / f"{stem}.key")
        pair.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        _write_key(key, pair.key)
        return pair


def service_account_key(path: Path) -> Path:
    """Write the key that signs service account tokens; the API server checks them with the same file."""
    _write_key(ec.generate_private_key(ec.SECP256R1()), path)
    return path


def _name(common: str, *organizations: str) -> x509.Name:
    names = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, name) for name in organizations]
    return x509.Name([*names, x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _write_key(key: ec.EllipticCurvePrivateKey, path: Path) -> None:
    # SEC 1 ("EC PRIVATE KEY"): the API server reads no public key out of a PKCS #8 file.
    pem, sec1 = serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL
    path.write_bytes(key.private_bytes(pem, sec1, serialization.NoEncryption()))

"""Certificates made for one test run: authorities, servers good and bad, and a client."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING

import attrs
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Authority", "Issued"]

_PURPOSES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
_DAY = timedelta(days=1)


@attrs.frozen
class Issued:
    """A certificate in files.

    Args:
        certificate: It and the authority that signed it, PEM.
        key: Its private key, PEM.
        both: All in one file, as Kafka reads them.
    """

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Who signs certificates.

    Args:
        folder: Where its files go.
        name: What they begin with.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.file = folder / f"{name}.pem"
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(f"Vectis test authority {name}")
        certifies = x509.KeyUsage(
            key_cert_sign=True,
            crl_sign=True,
            digital_signature=False,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        built = self._builder(self._name, self._key.public_key(), _DAY)
        built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        built = built.add_extension(certifies, critical=True)
        self._own = built.sign(self._key, SHA256()).public_bytes(Encoding.PEM)
        self.file.write_bytes(self._own)

    def issue(
        self,
        name: str,
        *hosts: str,
        valid: timedelta = _DAY,
        password: str | None = None,
    ) -> Issued:
        """Sign a certificate for a server and for a client.

        Args:
            name: The subject, and what its files are called.
            hosts: Names and addresses that it is good for as a server.
            valid: How long from now; negative: it has expired that long ago.
            password: Of the file with the key.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        built = self._builder(_named(name), key.public_key(), valid)
        built = built.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        built = built.add_extension(x509.ExtendedKeyUsage(_PURPOSES), False)
        if hosts:
            built = built.add_extension(x509.SubjectAlternativeName(map(_host, hosts)), False)
        secret: KeySerializationEncryption = NoEncryption()
        if password is not None:
            secret = BestAvailableEncryption(password.encode())
        chain = built.sign(self._key, SHA256()).public_bytes(Encoding.PEM) + self._own
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret)
        files = Issued(*(self._folder / f"{name}.{kind}.pem" for kind in ("cert", "key", "both")))
        files.certificate.write_bytes(chain)
        files.key.write_bytes(private)
        files.both.write_bytes(private + chain)
        return files

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, valid: timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 30 * _DAY)
            .not_valid_after(now + valid)
            .add_extension(issuer, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)

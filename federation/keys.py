"""Make what a federation needs to trust each other: a certificate authority, the server's certificate, keys of nodes.

`python federation/keys.py keys --host 127.0.0.1 --nodes 2` writes `ca.crt`, `server.pem`, `server.key`, and for each
node a private key `node0` and a public one `node0.pub`. Private keys are readable by their owner alone; the key of
the authority is not kept, so another server needs another authority.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PLAIN = serialization.NoEncryption()


def certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, signer: ec.EllipticCurvePrivateKey, days: int,
    extensions: list[tuple[x509.ExtensionType, bool]],
) -> x509.Certificate:  # fmt: skip
    """Return a certificate for a name, valid from now on."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(signer, hashes.SHA384())


def alternative(host: str) -> x509.GeneralName:
    """Return a host as a certificate names it."""
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def write(path: Path, data: bytes, *, secret: bool) -> None:
    """Write a file that only its owner may read where it is secret."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600 if secret else 0o644), "wb") as file:
        file.write(data)


def private(key: ec.EllipticCurvePrivateKey, form: serialization.PrivateFormat) -> bytes:
    """Return a private key as text."""
    return key.private_bytes(serialization.Encoding.PEM, form, PLAIN)


def make(folder: Path, host: str, nodes: int, days: int = 365) -> None:
    """Write all files."""
    folder.mkdir(parents=True, exist_ok=True)
    authority, server = (ec.generate_private_key(ec.SECP384R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of the federation")])
    signs = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    ca = certificate(
        "authority of the federation", authority, issuer, authority, days,
        [(x509.BasicConstraints(ca=True, path_length=0), True), (signs, True)],
    )  # fmt: skip
    names = x509.SubjectAlternativeName([alternative(host)])
    crt = certificate(host, server, issuer, authority, days, [(names, False)])
    pem = serialization.Encoding.PEM
    write(folder / ".gitignore", b"*\n", secret=False)  # keys do not belong into a repository
    write(folder / "ca.crt", ca.public_bytes(pem), secret=False)
    write(folder / "server.pem", crt.public_bytes(pem), secret=False)
    write(folder / "server.key", private(server, serialization.PrivateFormat.PKCS8), secret=True)
    for number in range(nodes):
        key = ec.generate_private_key(ec.SECP384R1())
        write(folder / f"node{number}", private(key, serialization.PrivateFormat.OpenSSH), secret=True)
        line = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        write(folder / f"node{number}.pub", line + b"\n", secret=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make certificates and node keys.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default="127.0.0.1", help="name or address by which nodes reach the server")
    parser.add_argument("--nodes", type=int, default=2, help="number of node keys")
    chosen = parser.parse_args()
    make(chosen.folder, chosen.host, chosen.nodes)

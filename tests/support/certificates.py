"""Certificates for mutual TLS."""

from __future__ import annotations

from pathlib import Path

import trustme


def write(folder: Path) -> Path:
    """Write an authority's certificate, and those of a server, its client and a stranger, into a folder.

    The server is 127.0.0.1, and the stranger's certificate is of another authority. Returns the folder.
    """
    authority, other = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    owners = {"server": (authority, "127.0.0.1"), "client": (authority, "client@x.test")}
    for name, (ca, identity) in {**owners, "stranger": (other, "stranger@x.test")}.items():
        issued = ca.issue_cert(identity)
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        (folder / f"{name}.pem").write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    return folder

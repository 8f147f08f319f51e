"""Which servers the TLS context of all clients believes, by handshakes over a socket."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_connection, create_server

import certifi
import pytest
import trustme
from root_store import hash_subject
from tollgate.trust import find_amazon_roots, make_amazon_context, make_tls_context

NAME = "gate.example"


def write_root(folder: Path, authority: trustme.CA) -> Path:
    """Put an authority into a folder as `root_store` would."""
    pem = authority.cert_pem.bytes()
    folder.mkdir()
    name = hash_subject(ssl.PEM_cert_to_DER_cert(pem.decode()))
    (folder / f"{name}.0").write_bytes(pem)
    return folder


@contextmanager
def serving(authority: trustme.CA) -> Iterator[int]:
    """Shake hands once, with a certificate of `authority`; yield the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(context)
    with create_server(("127.0.0.1", 0)) as listener:

        def shake() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                context.wrap_socket(connection, server_side=True).close()

        thread = threading.Thread(target=shake)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def connect(context: ssl.SSLContext, authority: trustme.CA, name: str = NAME) -> None:
    with serving(authority) as port, create_connection(("127.0.0.1", port)) as connection:
        context.wrap_socket(connection, server_hostname=name).close()


@pytest.mark.parametrize(
    "organization", ["Toll Gates", "  MANY   Spaces & Größe  ", "x" * 60, "日本 Root"]
)
def test_root_in_the_folder_is_found(tmp_path: Path, organization: str) -> None:
    """OpenSSL computes the file's name by itself and comes to the same, whatever the letters."""
    authority = trustme.CA(organization_name=organization)
    context = make_tls_context(write_root(tmp_path / "roots", authority))

    connect(context, authority)

    assert context.verify_mode is ssl.CERT_REQUIRED


def test_others_are_refused(tmp_path: Path) -> None:
    """An authority that is not there, and another server's name."""
    authority = trustme.CA()
    context = make_tls_context(write_root(tmp_path / "roots", authority))

    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        connect(context, trustme.CA(organization_name="Nobody"))
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        connect(context, authority, name="other.example")


def test_without_the_folder_certifi_is_read(tmp_path: Path) -> None:
    """Sources that are run as they are trust the same authorities."""
    context = make_tls_context(tmp_path / "none")

    assert context.cert_store_stats()["x509_ca"] == Path(certifi.where()).read_text().count("BEGIN")
    assert find_amazon_roots(tmp_path / "none") is None


def test_awss_endpoints_have_amazons_roots_alone(tmp_path: Path) -> None:
    """Not all that the layer has for vendors; without the layer certifi's, as for them."""
    vendors, amazons = trustme.CA(), trustme.CA()
    folder = write_root(tmp_path / "roots", vendors)
    (folder / "amazon.pem").write_bytes(amazons.cert_pem.bytes())
    context = make_amazon_context(folder)

    connect(context, amazons)
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
        connect(context, vendors)
    bare = tmp_path / "none"
    assert make_amazon_context(bare) is make_tls_context(bare)

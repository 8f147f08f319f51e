"""Whose certificates are believed: one TLS context for all vendors, and Amazon's roots for AWS.

The layer has certifi's certificates as a folder (`root_store.py` beside this package makes it), in
which OpenSSL reads only what a server's chain ends in. Sources that are run as they are have no
such folder: there certifi's file is read whole, with the same outcome, fifteen milliseconds later.
"""

import ssl
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "roots"
_AMAZON = "amazon.pem"


@cache
def make_tls_context(folder: Path = FOLDER) -> ssl.SSLContext:
    """Return what every client of this process trusts; the environment has no say in it."""
    if folder.is_dir():
        return ssl.create_default_context(capath=folder)
    import certifi  # noqa: PLC0415 - only where the layer's folder is not

    return ssl.create_default_context(cafile=certifi.where())


@cache
def make_amazon_context(folder: Path = FOLDER) -> ssl.SSLContext:
    """Return what trusts AWS's own endpoints: Amazon's roots alone, all of them without the layer.

    Source: https://www.amazontrust.com/repository/.
    """
    roots = find_amazon_roots(folder)
    return ssl.create_default_context(cafile=roots) if roots else make_tls_context(folder)


def find_amazon_roots(folder: Path = FOLDER) -> str | None:
    """Return the file of Amazon Trust Services' roots, or None where the layer's folder is not."""
    file = folder / _AMAZON
    return str(file) if file.is_file() else None

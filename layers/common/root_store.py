"""The layer's root certificates as a folder in which OpenSSL finds one without reading the others.

    roots/<subject's hash>.<n>    one certificate each, all of certifi's (openssl-rehash(1))
    roots/amazon.pem              the five of Amazon Trust Services

OpenSSL 3 takes 15 ms for certifi's file of 118, before the first event and, in botocore, at each
new connection. In a folder it opens the one that a server's chain ends in.

Hand-written since neither Python's library nor pip has OpenSSL's hash of a name, and a build should
need no program beside them. It is SHA-1 over the name's canonical form, of which the first four
bytes are taken. Source: OpenSSL, crypto/x509/x_name.c, and X509_NAME_hash(3).
"""

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

AMAZON = "amazon.pem"
# Source: https://www.amazontrust.com/repository/, which asks for all five in a store of one's own.
AMAZON_LABELS = (
    "Amazon Root CA 1",
    "Amazon Root CA 2",
    "Amazon Root CA 3",
    "Amazon Root CA 4",
    "Starfield Services Root Certificate Authority - G2",
)
_LABELLED = re.compile(
    r'^# Label: "(?P<label>[^"]*)"$.*?(?P<pem>^-----BEGIN CERTIFICATE-----$.*?'
    r"^-----END CERTIFICATE-----$)",
    re.MULTILINE | re.DOTALL,
)
_PEM = re.compile(
    r"^-----BEGIN CERTIFICATE-----$.*?^-----END CERTIFICATE-----$", re.MULTILINE | re.DOTALL
)
_UTF8 = 0x0C
_ENCODINGS = {  # of the ASN.1 strings that the canonical form turns into UTF-8
    _UTF8: "utf-8",
    0x13: "ascii",
    0x14: "latin-1",
    0x16: "ascii",
    0x1A: "ascii",
    0x1C: "utf-32-be",
    0x1E: "utf-16-be",
}
_VERSION_TAG = 0xA0
_FIELDS_BEFORE_SUBJECT = 4  # serial, algorithm, issuer, validity


def write_root_store(bundle: Path, folder: Path) -> None:
    """Write the certificates of `bundle`, a PEM file with certifi's labels, into a new `folder`.

    Raises: ValueError: one of Amazon's is missing.
    """
    text = bundle.read_text()
    folder.mkdir()
    seen: Counter[str] = Counter()
    for pem in _PEM.findall(text):
        name = hash_subject(_decode(pem))
        (folder / f"{name}.{seen[name]}").write_text(f"{pem}\n")
        seen[name] += 1
    by_label = {found["label"]: found["pem"] for found in _LABELLED.finditer(text)}
    missing = [label for label in AMAZON_LABELS if label not in by_label]
    if missing:
        raise ValueError(f"{bundle.name} is without {', '.join(missing)}")
    amazons = "".join(f"{by_label[label]}\n" for label in AMAZON_LABELS)
    (folder / AMAZON).write_text(amazons)


def hash_subject(certificate: bytes) -> str:
    """Return what OpenSSL calls the file of a DER certificate, without the number behind it."""
    digest = hashlib.sha1(_canonical(_find_subject(certificate)), usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def _decode(pem: str) -> bytes:
    return base64.b64decode("".join(pem.splitlines()[1:-1]))


def _find_subject(certificate: bytes) -> bytes:
    """Return the content of the subject: sets of attributes. Source: RFC 5280, section 4.1."""
    _, outer = next(_elements(certificate))
    _, signed = next(_elements(outer))
    fields = [content for tag, content in _elements(signed) if tag != _VERSION_TAG]
    return fields[_FIELDS_BEFORE_SUBJECT]


def _canonical(subject: bytes) -> bytes:
    """Return the sets, without the sequence's head, each text as `_canonical_text` has it."""
    sets = []
    for tag, attributes in _elements(subject):
        found = sorted(_canonical_attribute(content) for _, content in _elements(attributes))
        sets.append(_element(tag, b"".join(found)))
    return b"".join(sets)


def _canonical_attribute(attribute: bytes) -> bytes:
    (kind_tag, kind), (tag, value) = _elements(attribute)
    if tag in _ENCODINGS:
        value, tag = _canonical_text(value.decode(_ENCODINGS[tag])), _UTF8
    return _element(0x30, _element(kind_tag, kind) + _element(tag, value))


def _canonical_text(text: str) -> bytes:
    """Return UTF-8 with ASCII's letters small and its white space single, and none at the ends."""
    words = re.sub(r"[ \t\n\v\f\r]+", " ", text).strip(" ").encode()
    return words.lower()


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each DER element in `data`; tags of one byte, which names have."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & 0x80:
            size = length & 0x7F
            length, at = int.from_bytes(data[at : at + size]), at + size
        yield tag, data[at : at + length]
        at += length


def _element(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:  # noqa: PLR2004 - the short form of a length
        return bytes([tag, size]) + content
    digits = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([tag, 0x80 | len(digits)]) + digits + content

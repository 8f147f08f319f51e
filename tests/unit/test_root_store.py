"""The folder of root certificates: names as OpenSSL looks for them, and none left out."""

import re
from pathlib import Path

import certifi
import pytest
from root_store import AMAZON, AMAZON_LABELS, write_root_store

BUNDLE = Path(certifi.where())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of certifi's certificates."""
    write_root_store(BUNDLE, tmp_path / "roots")
    return tmp_path / "roots"


def find_pem(label: str) -> str:
    found = re.search(f'# Label: "{re.escape(label)}"\n(?:#.*\n)*((?:.+\n)+)', BUNDLE.read_text())
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Amazon Root CA 1", "ce5e74ef"),
        ("Starfield Services Root Certificate Authority - G2", "09789157"),
        ("ISRG Root X1", "4042bcee"),
        ("DigiCert Global Root G2", "607986c7"),
        (
            r"NetLock Arany (Class Gold) F\u0151tan\xfas\xedtv\xe1ny",
            "988a38cb",
        ),  # as certifi spells
    ],
)
def test_names_are_openssls(folder: Path, label: str, name: str) -> None:
    """What `openssl x509 -hash` says of each, as it names files in Debian's /etc/ssl/certs."""
    assert (folder / f"{name}.0").read_text() == find_pem(label)


def test_every_certificate_is_there(folder: Path) -> None:
    """As many files as certifi has certificates, and one more: Amazon's five."""
    assert len(list(folder.iterdir())) == BUNDLE.read_text().count("BEGIN CERTIFICATE") + 1
    assert (folder / AMAZON).read_text() == "".join(find_pem(label) for label in AMAZON_LABELS)


def test_same_subject_twice_has_numbers(tmp_path: Path) -> None:
    """Two certificates of one name, as of an old and a new key, are both found."""
    twice = tmp_path / "twice.pem"
    text = "".join(f'# Label: "{one}"\n{find_pem(one)}' for one in (*AMAZON_LABELS, *AMAZON_LABELS))
    twice.write_text(text)

    write_root_store(twice, tmp_path / "roots")

    assert {"ce5e74ef.0", "ce5e74ef.1"} <= {path.name for path in (tmp_path / "roots").iterdir()}


def test_a_missing_root_of_amazons_is_refused(tmp_path: Path) -> None:
    """A layer without it would be one that reaches no service of AWS."""
    bundle = tmp_path / "less.pem"
    bundle.write_text(BUNDLE.read_text().replace('"Amazon Root CA 3"', '"Another"'))

    with pytest.raises(ValueError, match="Amazon Root CA 3"):
        write_root_store(bundle, tmp_path / "roots")

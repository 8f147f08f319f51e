"""The packages of a function as Lambda has them: the layer's, its runtime's, and no other.

    <folder>/<package>      links to this environment's packages, of the very same versions
    <folder>/tollgate, encodings, roots      the layer's own

A development environment has more, and some packages import what they find: httpx would bring a
terminal's colours along. No network is needed; the layer that `make build` makes differs from this
in its bytecode only.
"""

import re
from importlib.metadata import distribution
from pathlib import Path

import certifi
from root_store import write_root_store

ROOT = Path(__file__).parent.parent
LAYER_SOURCES = ROOT / "layers" / "common"
OF_THE_RUNTIME = (
    "boto3",
    "botocore",
    "jmespath",
    "python-dateutil",
    "s3transfer",
    "six",
    "urllib3",
)
_UNUSED = ("requests", "charset-normalizer", "regex", "urllib3")  # as bundle.py drops them


def lay_out(folder: Path) -> Path:
    """Fill `folder`, which is new, and return it."""
    folder.mkdir()
    pins = (LAYER_SOURCES / "requirements.txt").read_text()
    layer = [name for name in re.findall(r"(?m)^([\w.-]+)==", pins) if name not in _UNUSED]
    for name in (*layer, *OF_THE_RUNTIME):
        _link(name, folder)
    for own in ("tollgate", "encodings"):
        (folder / own).symlink_to(LAYER_SOURCES / own)
    write_root_store(Path(certifi.where()), folder / "roots")
    return folder


def _link(name: str, folder: Path) -> None:
    """Link what a distribution installs at the top, its metadata where it registers plug-ins."""
    found = distribution(name)
    has_plugins = any(point.group != "console_scripts" for point in found.entry_points)
    for top in sorted({file.parts[0] for file in found.files or ()}):
        is_left_out = top in ("..", "__pycache__") or (
            top.endswith(".dist-info") and not has_plugins
        )
        if not is_left_out and not (folder / top).exists():
            (folder / top).symlink_to(Path(str(found.locate_file(top))))

"""The layer as it is deployed: small, the same in every build, and compiled for its processor."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import botocore
import bundle
import pytest

from local.sandbox import ROOT

pytestmark = pytest.mark.xdist_group("bundle")
HOST = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
OTHER = {"x86_64": "arm64", "arm64": "x86_64"}[HOST]
FUNCTIONS = ("billing", "chat", "images", "models")
IN_LAMBDAS_RUNTIME = ("botocore", "dateutil", "jmespath", "six.py", "urllib3")
USE = f"""
import importlib, json, os, pkgutil, sys
for name in {FUNCTIONS}:
    importlib.import_module(f"functions.{{name}}.app")
import functions.billing.sweep, tollgate, tollgate.trust
for module in pkgutil.walk_packages(tollgate.__path__, "tollgate."):
    if not module.name.endswith((".__main__", ".entry")):
        importlib.import_module(module.name)
from awslambdaric import bootstrap
from tollgate.core.encodings import load_encoding
from tollgate.runtime.client import StreamingClient
chat = sys.modules["functions.chat.app"]
services, metering = chat.get_services(), chat.get_metering()
counts = [
    len(load_encoding(name).encode_ordinary("a toll <|endoftext|>"))
    for name in ("o200k_base", "cl100k_base")
]
from_elsewhere = [
    module.__file__ for module in list(sys.modules.values())
    if "site-packages" in (getattr(module, "__file__", None) or "")
]
roots = [tollgate.trust.make_tls_context().get_ca_certs(), tollgate.trust.find_amazon_roots()]
print(json.dumps({{"counts": counts, "elsewhere": from_elsewhere, "roots": roots}}))
"""


def build(architecture: str, folder: Path) -> Path:
    script = ROOT / "layers" / "common" / "bundle.py"
    subprocess.run([sys.executable, script, architecture, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer for this machine's processor."""
    return build(HOST, tmp_path_factory.mktemp("layer") / "own")


@pytest.fixture(scope="module")
def other_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layer for the other processor."""
    return build(OTHER, tmp_path_factory.mktemp("layer") / "other")


def machines(folder: Path) -> set[int]:
    return {bundle.read_machine(file) for file in folder.rglob("*.so")}


def test_layer_is_small_and_for_its_processor(layer: Path, other_layer: Path) -> None:
    """Under 60 MB unzipped without boto3; machine code of the one architecture, or of the other."""
    for architecture, folder in ((HOST, layer), (OTHER, other_layer)):
        bundle.check(architecture, folder)
        names = {path.name for path in (folder / "python").iterdir()}
        assert machines(folder) == {bundle.MACHINES[architecture][1]}
        assert names.isdisjoint({"boto3", "botocore", "requests", "bin"})
        assert {"tollgate", "stream-runtime", "encodings", "roots"} <= names


def test_builds_are_the_same(layer: Path, other_layer: Path, tmp_path: Path) -> None:
    """Two builds have the same bytes, and another processor's differs in machine code only."""
    again = build(HOST, tmp_path / "elsewhere" / "again")

    assert bundle.digest(again) == bundle.digest(layer)
    for file in bundle.list_files(layer):
        if ".so" not in file.suffixes and "licenses" not in file.parts:
            assert (other_layer / file.relative_to(layer)).read_bytes() == file.read_bytes()


def test_nothing_tells_where_it_was_built(layer: Path) -> None:
    """Bytecode names its source as Lambda has it, and no file names this machine's folders."""
    for file in bundle.list_files(layer):
        content = file.read_bytes()
        assert str(layer.parent).encode() not in content, file
        assert str(ROOT).encode() not in content, file
        assert file.stat().st_mtime == bundle.FIXED_TIME_S
    compiled = layer / "python" / "tollgate" / "__pycache__" / "settings.cpython-313.pyc"
    assert b"/opt/python/tollgate/settings.py" in compiled.read_bytes()


def test_every_module_has_unchecked_bytecode(layer: Path) -> None:
    """Flags 1: by hash, and not compared with its source. Source: PEP 552."""
    for source in (layer / "python").rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        assert compiled.read_bytes()[4:8] == b"\x01\0\0\0", source


@pytest.fixture
def task(tmp_path: Path) -> dict[str, str]:
    """The environment of a process with the functions, the layer and what Lambda adds to it."""
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "functions", tmp_path / "task" / "functions", ignore=ignored)
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    for name in IN_LAMBDAS_RUNTIME:
        (runtime / name).symlink_to(Path(botocore.__file__).parent.parent / name)
    return {"PATH": os.environ["PATH"], "AWS_REGION": "us-east-1", "TASK": str(tmp_path / "task")}


@pytest.mark.skipif(platform.system() != "Linux", reason="the layer's machine code is Linux's")
def test_cold_start_compiles_nothing_of_the_layer(
    layer: Path, task: dict[str, str], tmp_path: Path
) -> None:
    """All functions run on the layer alone; compiled are their own files, which are few and short.

    And nothing is written: on Lambda, /opt is read-only. No root certificate is read either.
    """
    before = bundle.digest(layer)
    path = f"{task['TASK']}:{layer / 'python'}:{tmp_path / 'runtime'}"
    run = subprocess.run(
        [sys.executable, "-S", "-B", "-v", "-c", USE],
        env=task | {"PYTHONPATH": path},
        cwd=task["TASK"],
        capture_output=True,
        text=True,
        check=True,
    )

    found = json.loads(run.stdout)
    compiled = re.findall(r"^# code object from '?(/.*\.py)'?$", run.stderr, re.MULTILINE)
    runtimes = f"{tmp_path / 'runtime'}/"
    assert {file for file in compiled if not file.startswith(runtimes)} == {
        str(file) for file in Path(task["TASK"]).rglob("*.py")
    }
    assert [file for file in found["elsewhere"] if not file.startswith(runtimes)] == []
    assert found["counts"] == [9, 8]
    assert found["roots"] == [[], str(layer / "python" / "roots" / "amazon.pem")]
    assert bundle.digest(layer) == before


def test_too_large_a_layer_is_refused(tmp_path: Path) -> None:
    """The build fails with the table of what is large."""
    (tmp_path / "python").mkdir()
    (tmp_path / "python" / "large.bin").write_bytes(b"x" * 1001)

    with pytest.raises(bundle.BundleError, match=r"1,001 bytes are more than 1,000:\n.*large\.bin"):
        bundle.check("x86_64", tmp_path, bytes_max=1000)


def test_machine_code_of_another_processor_is_refused(tmp_path: Path) -> None:
    """A wheel of the wrong kind would fail at the first import on Lambda only."""
    (tmp_path / "one.so").write_bytes(b"\x7fELF" + b"\0" * 14 + bytes([183, 0]))

    bundle.check("arm64", tmp_path)
    with pytest.raises(bundle.BundleError, match=r"one\.so is not for x86_64"):
        bundle.check("x86_64", tmp_path)


def test_unknown_architecture_is_refused(tmp_path: Path) -> None:
    """Before anything is fetched."""
    with pytest.raises(bundle.BundleError, match="riscv"):
        bundle.build("riscv", tmp_path)


def test_metadata_of_plugins_is_kept(tmp_path: Path) -> None:
    """OpenTelemetry finds its parts by their entry points; a command's are of no use."""
    plugin, command = tmp_path / "plugin-1.dist-info", tmp_path / "command-1.dist-info"
    for folder, section in ((plugin, "opentelemetry_context"), (command, "console_scripts")):
        folder.mkdir()
        (folder / "entry_points.txt").write_text(f"[{section}]\na = b:c\n")
        (folder / "METADATA").write_text("Name: one")
        (folder / "RECORD").write_text("a,b,c")

    bundle.drop_unused(tmp_path)

    assert {path.name for path in plugin.iterdir()} == {"METADATA", "entry_points.txt"}
    assert not command.exists()

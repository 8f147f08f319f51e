"""Make the layer: `python3.13 bundle.py <x86_64 or arm64> <folder>`, which `sam build` calls.

    <folder>/python/      becomes /opt/python: packages, tollgate, stream-runtime, encodings, roots
    <folder>/licenses/    the packages' licences, out of the import path

Packages are wheels of the layer's platform, pinned by hash: no compiler, and any machine will do.
Every module is compiled here, since /opt is read-only and a cold start would compile it each time;
the bytecode carries a hash that Python is told not to check, and names its source as /opt/python
has it. So the same sources give the same bytes, wherever and whenever they are built, by the same
Python.

It stands alone with root_store.py, on Python's library and pip: SAM runs it in a copy of this
folder.
"""

import compileall
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from py_compile import PycInvalidationMode

from root_store import write_root_store

HERE = Path(__file__).parent
RUNTIME = (3, 13)
OWN = ("tollgate", "stream-runtime", "encodings")
MACHINES = {"x86_64": ("x86_64", 62), "arm64": ("aarch64", 183)}  # wheels' name; ELF's e_machine
GLIBC_MINORS = (17, 28, 34)  # that wheels ask for; Amazon Linux 2023 has 2.34
BYTES_MAX = 60_000_000
PLACE = "/opt/python"
FIXED_TIME_S = 1_600_000_000  # of every file, so that an archive of them is the same too

# What no request comes to, as patterns; a test runs the functions without it.
UNUSED = (
    "bin",  # commands, with this machine's path to Python in them
    "requests",  # tiktoken would fetch ranks with it: they are in encodings/
    "charset_normalizer",  # requests' alone
    "urllib3",  # requests' and botocore's: Lambda's runtime has the one that fits its botocore
    "regex",  # for tiktoken's lessons
    "httpcore",  # httpx's own transport: upstream/transport.py is in its place
    "h11",  # as above
    "aiohttp/web*.py",  # its server
    "aiohttp/worker.py",  # as above
    "aiohttp/*test*.py",
    "aiohttp/**/*.pyx",
    "aiohttp/**/*.pxd",
    "multidict/_testcapi*",
    "simplejson/tests",
    "certifi/tests",
    "pydantic/mypy.py",  # a plugin of a type checker
)
_ROWS = 15
_PLUGINS = re.compile(r"(?m)^\[(?!console_scripts\])")


class BundleError(Exception):
    """Why there is no layer, in words for the person who builds it."""


def main() -> None:
    """Build, check and say what was built; exit 1 with a clear line where that fails."""
    try:
        _, architecture, folder = sys.argv
        build(architecture, Path(folder).resolve())
        check(architecture, Path(folder).resolve())
    except BundleError as error:
        sys.exit(f"layer: {error}")
    sys.stdout.write(f"{describe(Path(folder).resolve())}\n")


def build(architecture: str, folder: Path) -> None:
    """Fill `folder`, which must not have a layer in it yet.

    Raises: BundleError: another Python than Lambda's, an unknown architecture, or no packages.
    """
    if sys.version_info[:2] != RUNTIME:
        raise BundleError(
            f"bytecode for Lambda is made by Python 3.13, not {sys.version.split()[0]}"
        )
    if architecture not in MACHINES:
        raise BundleError(f"no architecture of Lambda's: {architecture}")
    target = folder / "python"
    target.mkdir(parents=True)
    install(architecture, target)
    copy_own(target)
    keep_licences(target, folder / "licenses")
    drop_unused(target)
    write_root_store(target / "certifi" / "cacert.pem", target / "roots")
    compile_all(target)
    settle_metadata(folder)


def install(architecture: str, target: Path) -> None:
    """Put the pinned packages into `target`, whatever machine this is.

    Raises: BundleError: pip said no.
    """
    machine, _ = MACHINES[architecture]
    tags = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS]
    platforms = [f"--platform={tag}" for tag in [*tags, f"manylinux2014_{machine}"]]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--root-user-action=ignore", "--no-deps", "--no-compile", "--require-hashes"]
    command += ["--only-binary=:all:", "--implementation=cp", "--python-version=3.13"]
    command += ["--abi=cp313", *platforms, f"--target={target}"]
    command += [f"--requirement={HERE / 'requirements.txt'}"]
    if subprocess.run(command, check=False, stdin=subprocess.DEVNULL).returncode:
        raise BundleError(f"pip could not install the packages for {architecture}; see above")


def copy_own(target: Path) -> None:
    """Copy what is Tollgate's."""
    for name in OWN:
        if (HERE / name).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(HERE / name, target / name, ignore=ignored)
        else:
            shutil.copy(HERE / name, target / name)


def keep_licences(target: Path, licences: Path) -> None:
    """Move the licences out of the packages' metadata."""
    for metadata in sorted(target.glob("*.dist-info")):
        for file in sorted(metadata.rglob("*")):
            if file.is_file() and file.name.upper().startswith(("LICEN", "NOTICE", "COPYING")):
                place = licences / metadata.name.removesuffix(".dist-info")
                place.mkdir(parents=True, exist_ok=True)
                file.rename(place / file.name)


def drop_unused(target: Path) -> None:
    """Remove what no request comes to, and metadata but that by which plug-ins are found.

    A cold start reads every package's metadata to look for plug-ins.
    """
    for pattern in UNUSED:
        for path in list(target.glob(pattern)):
            _remove(path)
    for metadata in target.glob("*.dist-info"):
        entry_points = metadata / "entry_points.txt"
        has_plugins = entry_points.is_file() and _PLUGINS.search(entry_points.read_text())
        for file in list(metadata.iterdir()):
            if not has_plugins or file.name not in ("METADATA", "entry_points.txt"):
                _remove(file)
        if not has_plugins:
            metadata.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def compile_all(target: Path) -> None:
    """Compile each module of `target` for its place on Lambda.

    Raises: BundleError: one cannot be compiled.
    """
    is_whole = compileall.compile_dir(
        target,
        maxlevels=None,
        quiet=1,
        force=True,
        stripdir=str(target),
        prependdir=PLACE,
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not is_whole:
        raise BundleError("a module cannot be compiled; see above")


def settle_metadata(folder: Path) -> None:
    """Give each file the mode and time that it has in every build."""
    for path in [*folder.rglob("*"), folder]:
        is_program = path.is_dir() or path.name == "stream-runtime"
        path.chmod(0o755 if is_program else 0o644)
        os.utime(path, (FIXED_TIME_S, FIXED_TIME_S))


def check(architecture: str, folder: Path, bytes_max: int = BYTES_MAX) -> None:
    """Raises: BundleError: the layer is too large, or has machine code of another processor."""
    size = sum(file.stat().st_size for file in list_files(folder))
    if size > bytes_max:
        raise BundleError(f"{size:,} bytes are more than {bytes_max:,}:\n{describe(folder)}")
    _, machine = MACHINES[architecture]
    for file in list_files(folder):
        if file.suffix == ".so" and read_machine(file) != machine:
            raise BundleError(f"{file.name} is not for {architecture}")


def read_machine(file: Path) -> int:
    """Return `e_machine` of an ELF file's head, 0 if it is none. Source: elf(5)."""
    with file.open("rb") as opened:
        head = opened.read(20)
    return int.from_bytes(head[18:20], "little") if head.startswith(b"\x7fELF") else 0


def list_files(folder: Path) -> Iterator[Path]:
    """Yield the files under `folder`, in one order everywhere."""
    yield from sorted(file for file in folder.rglob("*") if file.is_file())


def describe(folder: Path) -> str:
    """Return a table of what takes how much, largest first, the sum, and the layer's SHA-256."""
    sizes: dict[str, int] = {}
    for file in list_files(folder):
        name = "/".join(file.relative_to(folder).parts[:2])
        sizes[name] = sizes.get(name, 0) + file.stat().st_size
    rows = sorted(sizes.items(), key=lambda row: (-row[1], row[0]))
    shown = [*rows[:_ROWS], ("the rest", sum(size for _, size in rows[_ROWS:]))]
    lines = [f"{size / 1e6:8.2f} MB  {name}" for name, size in shown]
    total = f"{sum(sizes.values()) / 1e6:8.2f} MB  of {BYTES_MAX / 1e6:.0f}, unzipped"
    return "\n".join([*lines, total, f"sha256 {digest(folder)}"])


def digest(folder: Path) -> str:
    """Return the SHA-256 over every file's name, mode and content."""
    found = hashlib.sha256()
    for file in list_files(folder):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        found.update(f"{file.relative_to(folder)} {file.stat().st_mode:o} {content}\n".encode())
    return found.hexdigest()


if __name__ == "__main__":
    main()

"""A process's TCP connections, as Linux lists them. Source: proc(5)."""

import contextlib
import socket
from pathlib import Path

ESTABLISHED_OR_CLOSING = {"01", "08"}


def list_peers(pid: int | str) -> list[str]:
    """Return host:port of every peer that the process has a connection to."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            inodes.add(str(link.readlink()))
    lines = Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    return [
        _read_address(row[2])
        for row in rows
        if f"socket:[{row[9]}]" in inodes and row[3] in ESTABLISHED_OR_CLOSING
    ]


def _read_address(text: str) -> str:
    address, port = text.split(":")
    return f"{socket.inet_ntoa(bytes.fromhex(address)[::-1])}:{int(port, 16)}"

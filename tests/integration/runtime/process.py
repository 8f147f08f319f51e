"""What a test shares with the runtime's process: its events, and the points where it waits."""

import json
import socket
from pathlib import Path
from typing import Any

from local.sandbox import ROOT

HERE = Path(__file__).parent
WRAPPER = ROOT / "layers" / "common" / "stream-runtime"
EVENT: dict[str, Any] = json.loads((ROOT / "events" / "chat.plain.json").read_text())


def request(path: str, body: str = "last") -> dict[str, Any]:
    """Return API Gateway's event of a POST."""
    return EVENT | {"path": path, "body": body}


class Control:
    """The test's end of the points where the sample function waits."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(30)
        self.port: int = self._listener.getsockname()[1]
        self._waiting: socket.socket | None = None

    def reached(self) -> None:
        """Wait until the function waits."""
        self._waiting, _ = self._listener.accept()
        assert self._waiting.recv(1) == b"."

    def go_on(self) -> None:
        """Let it go on."""
        assert self._waiting is not None
        with self._waiting:
            self._waiting.sendall(b".")

    def close(self) -> None:
        self._listener.close()

"""What goes through a lean client, seen and changed on its way: each call, with its parameters."""

from collections.abc import Callable
from typing import Any

type Take = Callable[[str, dict[str, Any]], None]
type Note = Callable[[Any], None]


def tap(client: Any, take: Take, note: Note = lambda _: None) -> None:
    """Let `take` see, and change, operation and parameters of each call of `client` from now on.

    `note` is told of each failure. Taps that come later see a call first.
    """
    call = client.call

    def run(operation: str, **parameters: Any) -> dict[str, Any]:
        take(operation, parameters)
        try:
            answer: dict[str, Any] = call(operation, **parameters)
        except Exception as error:
            note(error)
            raise
        return answer

    client.call = run

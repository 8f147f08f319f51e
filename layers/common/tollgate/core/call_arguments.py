"""A tool call's arguments as they come, piece by piece: whether their JSON object is closed."""

import re

# With a backslash goes what it escapes; one at a piece's end waits for the next piece.
MARKS = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)


class CallArguments:
    """The text of one call's arguments, of which only brackets and quotes count.

    It is read when somebody asks, each piece once: most calls are never asked about, and the
    longest cost no more than their length. No JSON reader serves, since none goes on in the middle.
    """

    def __init__(self) -> None:
        """Begin without any text."""
        self.has_begun = False
        self._unread: list[str] = []
        self._depth = 0
        self._has_brackets = False
        self._is_in_string = False
        self._is_escaping = False

    def add(self, text: str) -> None:
        """Note the next piece."""
        if text:
            self.has_begun = True
            self._unread.append(text)

    def is_whole(self) -> bool:
        """Whether an object has come, and each of its brackets and strings is closed."""
        unread, self._unread = "".join(self._unread), []
        self._read(unread)
        return self._has_brackets and self._depth == 0 and not self._is_in_string

    def _read(self, text: str) -> None:
        if self._is_escaping and text:
            text, self._is_escaping = f"\\{text}", False
        for found in MARKS.finditer(text):
            mark = found[0]
            if mark == '"':
                self._is_in_string = not self._is_in_string
            elif mark.startswith("\\"):
                self._is_escaping = mark == "\\"
            elif not self._is_in_string:
                self._has_brackets = True
                self._depth += 1 if mark in "{[" else -1

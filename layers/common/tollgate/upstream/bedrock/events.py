"""ConverseStream's frames as OpenAI's chunks, one by one, as soon as each is whole.

    messageStart                      nothing: an error may still come first, and be tried elsewhere
    contentBlockStart with a toolUse  a tool call with id and name
    contentBlockDelta                 content, reasoning_content or a call's arguments
    contentBlockStop                  `{}` for a call that got no arguments, else nothing
    messageStop                       the finish reason
    metadata                          usage
    any exception                     an event "error", in mid-stream as well

The framing (prelude, headers, checksums) is botocore's to decode; what is in a frame is ours, since
botocore's own parser wants a response that blocks.
Source: "Amazon event stream" in Smithy's specification; the shape ConverseStreamOutput in
botocore's model of bedrock-runtime.
"""

import struct
from collections.abc import Iterator, Mapping

from botocore.eventstream import EventStreamBuffer, EventStreamMessage, ParserError

from tollgate.core.json_text import dump, parse_object
from tollgate.errors import UpstreamBrokenError
from tollgate.upstream.bedrock.answer import SERVER_TOOL, read_finish_reason, read_usage
from tollgate.upstream.bedrock.exceptions import read_exception
from tollgate.upstream.sse import ServerEvent

type _Fields = Mapping[str, object]


class ConverseDecoder:
    """One stream's state: the bytes of a frame that is not whole, and the calls by their blocks."""

    def __init__(self) -> None:
        self._buffer = EventStreamBuffer()
        self._pending_bytes = 0
        self._calls: dict[object, int] = {}
        self._with_arguments: set[object] = set()

    def feed(self, chunk: bytes) -> Iterator[ServerEvent]:
        """Yield the events that `chunk` completes.

        Raises: UpstreamBrokenError: the bytes are no frames, or a checksum is wrong.
        """
        try:
            self._buffer.add_data(chunk)
            self._pending_bytes += len(chunk)
            for message in self._buffer:
                self._pending_bytes -= message.prelude.total_length
                yield from self._read(message)
        except (ParserError, struct.error, LookupError, ValueError) as error:
            raise UpstreamBrokenError from error

    def end(self) -> list[ServerEvent]:
        """Return nothing: no event waits for the end.

        Raises: UpstreamBrokenError: the stream ends within a frame.
        """
        if self._pending_bytes:
            raise UpstreamBrokenError
        return []

    def _read(self, message: EventStreamMessage) -> Iterator[ServerEvent]:
        headers: Mapping[str, object] = message.headers
        kind = headers.get(":message-type")
        if kind == "error":
            yield _error(str(headers.get(":error-code")), headers.get(":error-message"))
            return
        fields = parse_object(message.payload)
        if kind == "exception":
            yield _error(str(headers.get(":exception-type")), fields.get("message"))
        else:
            yield from self._read_event(str(headers.get(":event-type")), fields)

    def _read_event(self, event: str, fields: _Fields) -> Iterator[ServerEvent]:
        match event:
            case "contentBlockStart":
                yield from self._start_block(fields)
            case "contentBlockDelta":
                yield from self._read_delta(fields)
            case "contentBlockStop":
                yield from self._stop_block(fields)
            case "messageStop":
                yield _finish(fields)
            case "metadata":
                yield _chunk(usage=read_usage(fields.get("usage")))

    def _start_block(self, fields: _Fields) -> Iterator[ServerEvent]:
        use = _part(fields.get("start"), "toolUse")
        if use is None or use.get("type") == SERVER_TOOL:
            return
        block = fields.get("contentBlockIndex")
        self._calls[block] = len(self._calls)
        yield self._call(
            block,
            {"name": use.get("name"), "arguments": ""},
            id=use.get("toolUseId"),
            type="function",
        )

    def _read_delta(self, fields: _Fields) -> Iterator[ServerEvent]:
        delta, block = fields.get("delta"), fields.get("contentBlockIndex")
        text = delta.get("text") if isinstance(delta, Mapping) else None
        use, reasoning = _part(delta, "toolUse"), _part(delta, "reasoningContent")
        if isinstance(text, str) and text:
            yield _delta({"content": text})
        elif use and use.get("input") and block in self._calls:
            self._with_arguments.add(block)
            yield self._call(block, {"arguments": use["input"]})
        elif reasoning and reasoning.get("text"):
            yield _delta({"reasoning_content": reasoning["text"]})

    def _stop_block(self, fields: _Fields) -> Iterator[ServerEvent]:
        block = fields.get("contentBlockIndex")
        if block in self._calls and block not in self._with_arguments:
            yield self._call(block, {"arguments": "{}"})

    def _call(self, block: object, function: _Fields, **fields: object) -> ServerEvent:
        call = {"index": self._calls[block], **fields, "function": function}
        return _delta({"tool_calls": [call]})


def _part(value: object, name: str) -> _Fields | None:
    part = value.get(name) if isinstance(value, Mapping) else None
    return part if isinstance(part, Mapping) else None


def _delta(delta: _Fields, finish_reason: str | None = None) -> ServerEvent:
    return _chunk({"index": 0, "delta": delta, "finish_reason": finish_reason})


def _chunk(*choices: _Fields, **fields: object) -> ServerEvent:
    chunk = {"object": "chat.completion.chunk", "choices": choices, **fields}
    return ServerEvent(data=dump(chunk).decode())


def _finish(fields: _Fields) -> ServerEvent:
    finish_reason = read_finish_reason(fields.get("stopReason"))
    if finish_reason is None:
        return _error("modelErrorException", "The model's output was malformed. Please try again.")
    return _delta({}, finish_reason)


def _error(name: str, message: object) -> ServerEvent:
    status, body = read_exception(name, message)
    error = {"message": body.message, "type": "server_error", "code": body.code}
    return ServerEvent(
        event="error", data=dump({"error": error | {"status_code": status}}).decode()
    )

"""A made-up Bedrock that a running gateway can ask: it answers by the model's id.

demo.echo-v1:0       the texts and images of the last turn
demo.tools-v1:0      a call of each tool, then the results
demo.broken-v1:0     a word, and then an exception
demo.throttled-v1:0  a 429
"""

import base64
import json
from collections.abc import Iterator
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.fakes.bedrock import is_signed
from tests.fakes.event_stream import CONTENT_TYPE, START, call, event, exception, text, usage

REGION = "eu-west-1"
PROMPT, CACHED, WRITTEN, COMPLETION = 100, 1000, 50, 20
CACHE = {"cacheReadInputTokens": CACHED, "cacheWriteInputTokens": WRITTEN}


def make_bedrock_app() -> Starlette:
    """Return an app with the two operations; what is not signed for `REGION` is refused."""
    return Starlette(
        routes=[
            Route("/model/{model}/converse", _converse, methods=["POST"]),
            Route("/model/{model}/converse-stream", _converse_stream, methods=["POST"]),
        ]
    )


async def _refuse(request: Request) -> Response | None:
    path = request.scope["raw_path"].decode()
    if not is_signed(request.headers, path, await request.body(), region=REGION):
        return _fault("InvalidSignatureException", 403)
    if request.path_params["model"] == "demo.throttled-v1:0":
        return _fault("ThrottlingException", 429)
    return None


def _fault(name: str, status: int) -> Response:
    return JSONResponse({"message": "no"}, status, {"x-amzn-errortype": name})


async def _converse(request: Request) -> Response:
    refusal = await _refuse(request)
    if refusal is not None:
        return refusal
    content = _answer(request.path_params["model"], await request.json())
    counts = {"inputTokens": PROMPT, "outputTokens": COMPLETION} | CACHE
    return JSONResponse(
        {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": _stop_reason(content),
            "usage": counts | {"totalTokens": sum(counts.values())},
            "metrics": {"latencyMs": 391},
        }
    )


async def _converse_stream(request: Request) -> Response:
    refusal = await _refuse(request)
    if refusal is not None:
        return refusal
    model = request.path_params["model"]
    frames = _frames(model, _answer(model, await request.json()))
    return StreamingResponse(frames, media_type=CONTENT_TYPE)


def _answer(model: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the answer's blocks."""
    blocks = body["messages"][-1]["content"]
    results = [block["toolResult"] for block in blocks if "toolResult" in block]
    if model == "demo.tools-v1:0" and not results:
        return [_use(number, tool) for number, tool in enumerate(body["toolConfig"]["tools"])]
    said = [part.get("text", "") for result in results for part in result["content"]]
    for block in blocks:
        if "image" in block:
            size = len(base64.b64decode(block["image"]["source"]["bytes"]))
            said.append(f"{block['image']['format']} of {size} bytes")
        said.append(block.get("text", ""))
    return [{"text": " ".join(filter(None, said))}]


def _use(number: int, tool: dict[str, Any]) -> dict[str, Any]:
    names = tool["toolSpec"]["inputSchema"]["json"]["properties"]
    arguments = dict.fromkeys(names, "Rome")
    return {
        "toolUse": {
            "toolUseId": f"tooluse_{number}",
            "name": tool["toolSpec"]["name"],
            "input": arguments,
        }
    }


def _stop_reason(content: list[dict[str, Any]]) -> str:
    return "tool_use" if any("toolUse" in block for block in content) else "end_turn"


def _frames(model: str, content: list[dict[str, Any]]) -> Iterator[bytes]:
    yield START
    for index, block in enumerate(content):
        if "toolUse" in block:
            use = block["toolUse"]
            arguments = json.dumps(use["input"])
            yield call(index, use["toolUseId"], use["name"], arguments[:5], arguments[5:])
            continue
        for word in block["text"].split(" "):
            yield text(f"{word} ", index)
            if model == "demo.broken-v1:0":
                yield exception("modelStreamErrorException", "The model stumbled.")
                return
    yield event("messageStop", stopReason=_stop_reason(content))
    yield usage(PROMPT, COMPLETION, **CACHE)

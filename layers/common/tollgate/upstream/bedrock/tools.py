"""OpenAI's `tools` and `tool_choice` as Converse's toolConfig. Pure."""

from collections.abc import Mapping

from tollgate.upstream.bedrock.content import Block, cache_point
from tollgate.upstream.failures import RequestUnsupportedError

_NO_PARAMETERS: Mapping[str, object] = {"type": "object", "properties": {}}
# Auto is what Bedrock does unasked; some of its models refuse to be told.
_PLAIN_CHOICES = (None, "auto", "none")


def read_tools(body: Mapping[str, object], called: list[str]) -> Block | None:
    """Return the toolConfig, or None where there is nothing to configure.

    Bedrock refuses a conversation with calls in it (`called`: their tools' names) that comes
    without tools, as requests for a summary do. It is told of those tools then, and of the
    request's under `tool_choice: "none"`, for which Converse has no word: that the model calls none
    is likely then, not certain.

    Raises: RequestUnsupportedError: a tool or a choice that Converse does not have.
    """
    choice = body.get("tool_choice")
    specs = _read_specs(body.get("tools"))
    if choice == "none" and not called:
        return None
    if not specs:
        specs = [_spec(name, {}) for name in dict.fromkeys(called)]
    if not specs:
        return None
    if choice in _PLAIN_CHOICES:
        return {"tools": specs}
    return {"tools": specs, "toolChoice": _read_choice(choice)}


def _read_specs(tools: object) -> list[Block]:
    return [
        block
        for position, tool in enumerate(tools if isinstance(tools, list) else [])
        for block in _read_tool(tool, f"tools[{position}]")
    ]


def _read_tool(tool: object, place: str) -> list[Block]:
    fields = tool if isinstance(tool, Mapping) else {}
    function = fields.get("function")
    if fields.get("type") != "function" or not isinstance(function, Mapping):
        raise RequestUnsupportedError("This model takes tools of type 'function'.", param=place)
    return [_spec(str(function.get("name")), function), *cache_point(fields, place)]


def _spec(name: str, function: Mapping[str, object]) -> Block:
    spec: Block = {
        "name": name,
        "inputSchema": {"json": function.get("parameters") or dict(_NO_PARAMETERS)},
    }
    if function.get("description"):
        spec["description"] = function["description"]
    if function.get("strict"):
        spec["strict"] = True
    return {"toolSpec": spec}


def _read_choice(choice: object) -> Block:
    if choice == "required":
        return {"any": {}}
    function = choice.get("function") if isinstance(choice, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str):
        raise RequestUnsupportedError(
            "'tool_choice' must be 'none', 'auto', 'required' or a function for this model.",
            param="tool_choice",
        )
    return {"tool": {"name": name}}

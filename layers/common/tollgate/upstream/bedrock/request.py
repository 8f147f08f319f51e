"""One chat request's body in OpenAI's form as the body of Converse and ConverseStream. Pure.

    messages                               system, messages (`conversation`)
    tools, tool_choice                     toolConfig (`tools`)
    the output limit, temperature, top_p,  inferenceConfig
    stop
    response_format with a schema          outputConfig.textFormat
    reasoning_effort                       outputConfig.effort; OpenAI's models have it by its name
    service_tier                           serviceTier
    top_k                                  a field of Anthropic's models

A field that would change the answer, and that Converse does not have, is refused and not dropped:
its caller would take the answer for what was asked. Nothing goes into additionalModelRequestFields
unseen: a limit of the model's own there would outdo the one that is paid for.
Source: the shape ConverseRequest in botocore's model of bedrock-runtime.
"""

import json
from collections.abc import Mapping

from tollgate.upstream.bedrock.content import Block
from tollgate.upstream.bedrock.conversation import read_conversation
from tollgate.upstream.bedrock.tools import read_tools
from tollgate.upstream.failures import RequestUnsupportedError
from tollgate.upstream.vendor_requests import ChatCall, output_limit

_TRANSLATED = frozenset(
    {
        "max_completion_tokens",
        "max_tokens",
        "messages",
        "reasoning_effort",
        "response_format",
        "service_tier",
        "stop",
        "stream",
        "stream_options",
        "temperature",
        "tool_choice",
        "tools",
        "top_k",
        "top_p",
    }
)
# Who asks, what to keep and how to be quick: the answer is the same without them. A seed is a wish
# ("best effort") that no caller can rely on.
_WITHOUT_EFFECT = frozenset(
    {
        "metadata",
        "prediction",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "seed",
        "store",
        "user",
    }
)
# Values that say what is so in any case.
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "frequency_penalty": (0,),
    "function_call": ("auto", "none"),
    "functions": ([],),
    "logit_bias": ({},),
    "logprobs": (False,),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (True,),
    "presence_penalty": (0,),
    "top_logprobs": (0,),
    "verbosity": ("medium",),
}
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_PLAIN_TIERS = (None, "auto", "default")
_OPENAI_MODELS = "openai."  # in the ids of the models that OpenAI has put there
_ANTHROPIC_MODELS = "anthropic."


def make_body(call: ChatCall, upstream_model: str) -> Block:
    """Return the body for `call`; the model is in the address, but decides on some fields.

    Raises: RequestUnsupportedError: a field or value that Converse does not have.
    """
    body = call.body
    _check_fields(body)
    conversation = read_conversation(body.get("messages"))
    made: Block = {
        "messages": conversation.turns,
        "system": conversation.system,
        "inferenceConfig": _inference(call),
        "toolConfig": read_tools(body, conversation.called),
        "outputConfig": _text_format(body.get("response_format")),
        "serviceTier": _service_tier(body.get("service_tier")),
    }
    _add_effort(made, body.get("reasoning_effort"), upstream_model)
    _add_top_k(made, body.get("top_k"), upstream_model)
    return {name: value for name, value in made.items() if value}


def _check_fields(body: Mapping[str, object]) -> None:
    for name, value in body.items():
        is_known = name in _TRANSLATED or name in _WITHOUT_EFFECT
        if not is_known and value is not None and value not in _NEUTRAL.get(name, ()):
            raise RequestUnsupportedError(
                f"'{name}' is not available for this model, or not with this value.", param=name
            )


def _inference(call: ChatCall) -> Block:
    stop = call.body.get("stop")
    fields = {
        "maxTokens": output_limit(call),
        "temperature": call.body.get("temperature"),
        "topP": call.body.get("top_p"),
        "stopSequences": _stops(stop),
    }
    return {name: value for name, value in fields.items() if value is not None}


def _stops(stop: object) -> object:
    """Return the list that Bedrock wants; an empty text, which it refuses, stops nothing."""
    stops = [stop] if isinstance(stop, str) else stop
    return ([text for text in stops if text] or None) if isinstance(stops, list) else stops


def _text_format(wanted: object) -> Block:
    """Return the schema that the answer is to follow; JSON without one Converse does not know."""
    fields = wanted if isinstance(wanted, Mapping) else {}
    if wanted is None or fields.get("type") == "text":
        return {}
    given = fields.get("json_schema")
    if fields.get("type") != "json_schema" or not isinstance(given, Mapping):
        raise RequestUnsupportedError(
            "'response_format' must be of type 'text' or 'json_schema' for this model.",
            param="response_format",
        )
    schema: Block = {"schema": json.dumps(given.get("schema") or {}, ensure_ascii=False)}
    schema |= {name: given[name] for name in ("name", "description") if given.get(name)}
    return {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": schema}}}


def _service_tier(tier: object) -> Block:
    return {} if tier in _PLAIN_TIERS else {"type": tier}


def _add_effort(made: Block, effort: object, upstream_model: str) -> None:
    """Put the reasoning effort where this model reads it.

    Source of OpenAI's models' place: recorded requests of pydantic-ai's tests.
    """
    if effort is None:
        return
    if _OPENAI_MODELS in upstream_model:
        made["additionalModelRequestFields"] = {"reasoning_effort": effort}
    elif effort in _EFFORTS:
        output = made["outputConfig"]
        made["outputConfig"] = {**(output if isinstance(output, dict) else {}), "effort": effort}
    else:
        raise RequestUnsupportedError(
            f"'reasoning_effort' must be one of {', '.join(_EFFORTS)} for this model.",
            param="reasoning_effort",
        )


def _add_top_k(made: Block, top_k: object, upstream_model: str) -> None:
    """Put `top_k` where Anthropic's models read it; others call it otherwise, or do not know it.

    Source: Amazon Bedrock User Guide, "Using the Converse API", its example of fields of a model's
    own.
    """
    if top_k is None:
        return
    is_count = isinstance(top_k, int) and not isinstance(top_k, bool)
    if not is_count or _ANTHROPIC_MODELS not in upstream_model:
        raise RequestUnsupportedError(
            "'top_k' is not available for this model, or not with this value.", param="top_k"
        )
    made["additionalModelRequestFields"] = {"top_k": top_k}

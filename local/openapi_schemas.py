"""What each operation takes and answers, as JSON Schema: docs/wire-format.md in the other form.

`OPERATIONS` is keyed by method and path. Objects are open (a vendor's further fields pass through)
but for the error, which has exactly four.
"""

from typing import Any

type Schema = dict[str, Any]

_BILLING_PREFIXES = ("/v1", "/v1/dashboard", "/dashboard")


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(properties: Schema, *required: str, description: str | None = None) -> Schema:
    """Return an open object; without `required` every property is."""
    schema: Schema = {
        "type": "object",
        "properties": properties,
        "required": list(required or properties),
    }
    return schema | ({"description": description} if description else {})


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _const(value: str) -> Schema:
    return {"type": "string", "const": value}


def _nullable(kind: str) -> Schema:
    return {"type": [kind, "null"]}


_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FLAG: Schema = {"type": "boolean"}
_SECONDS: Schema = {"type": "integer", "minimum": 0, "description": "Unix seconds."}
_POINTS: Schema = {"type": "number", "minimum": 0, "description": "Points, at most six decimals."}
_USD: Schema = {"type": "number", "minimum": 0, "description": "US dollars."}
_CENTS: Schema = {"type": "number", "minimum": 0, "description": "US cents."}
_OFFICIAL: Schema = {
    "type": "boolean",
    "description": "As the suffix -official: OpenAI's form, no quota. Not sent to the upstream.",
}
_MODEL: Schema = {
    "type": "string",
    "minLength": 1,
    "description": "[web-]<base>[-official]; web- searches the web first.",
}
_IMAGE_MODEL: Schema = {"type": "string", "description": "<base>[-official]."}
_FILE: Schema = {"type": "string", "contentMediaType": "application/octet-stream"}

_USAGE = _object(
    {
        "prompt_tokens": _COUNT,
        "completion_tokens": _COUNT,
        "total_tokens": _COUNT,
        "prompt_tokens_details": {"type": "object"},
        "completion_tokens_details": {"type": "object"},
    },
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
)
_RECORDED: Schema = _USAGE["properties"] | {"images": _COUNT, "searches": _COUNT}
_IMAGE_USAGE = _object(
    {
        "input_tokens": _COUNT,
        "output_tokens": _COUNT,
        "total_tokens": _COUNT,
        "input_tokens_details": {"type": "object"},
        "output_tokens_details": {"type": "object"},
    },
    "input_tokens",
    "output_tokens",
    "total_tokens",
)
_SEARCH_RESULTS = _list(_object({"title": _TEXT, "url": _TEXT, "date": _nullable("string")}))
_IMAGE_FIELDS: Schema = {
    "model": _IMAGE_MODEL,
    "prompt": _TEXT,
    "n": {"type": "integer", "minimum": 1, "maximum": 10},
    "size": _TEXT,
    "quality": _TEXT,
    "stream": _FLAG,
    "partial_images": {"type": "integer", "minimum": 0, "maximum": 3},
    "official": _OFFICIAL,
}

_SCHEMAS: Schema = {
    "Error": {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "message": _TEXT,
                    "type": _TEXT,
                    "param": _nullable("string"),
                    "code": _nullable("string"),
                },
                "required": ["message", "type", "param", "code"],
                "additionalProperties": False,
            }
        },
        "required": ["error"],
        "additionalProperties": False,
    },
    "ChatCompletionRequest": _object(
        {
            "model": _MODEL,
            "messages": {
                "type": "array",
                "minItems": 1,
                "items": _object({"role": _TEXT}),
            },
            "stream": _FLAG,
            "stream_options": _object({"include_usage": _FLAG}, description="With stream only."),
            "n": {"type": "integer", "minimum": 1, "maximum": 128},
            "max_tokens": {"type": "integer", "minimum": 1},
            "max_completion_tokens": {"type": "integer", "minimum": 1},
            "service_tier": _TEXT,
            "official": _OFFICIAL,
        },
        "model",
        "messages",
    ),
    "ChatCompletion": _object(
        {
            "id": {"type": "string", "pattern": "^chatcmpl-"},
            "object": _const("chat.completion"),
            "created": _SECONDS,
            "model": _TEXT,
            "choices": _list(
                _object(
                    {
                        "index": _COUNT,
                        "message": _object(
                            {"role": _const("assistant"), "content": _nullable("string")}
                        ),
                        "finish_reason": _nullable("string"),
                    }
                )
            ),
            "usage": _USAGE,
            "quota": _POINTS,
            "search_results": _SEARCH_RESULTS,
        },
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
    ),
    "ChatCompletionChunk": _object(
        {
            "id": {"type": "string", "pattern": "^chatcmpl-"},
            "object": _const("chat.completion.chunk"),
            "created": _SECONDS,
            "model": _TEXT,
            "choices": _list(
                _object(
                    {
                        "index": _COUNT,
                        "delta": {"type": "object"},
                        "finish_reason": _nullable("string"),
                    }
                )
            ),
            "usage": {"anyOf": [_USAGE, {"type": "null"}]},
            "quota": _POINTS,
            "search_results": _SEARCH_RESULTS,
        },
        "id",
        "object",
        "created",
        "model",
        "choices",
    ),
    "ImageGenerationRequest": _object(_IMAGE_FIELDS, "prompt"),
    "ImageEditRequest": _object(
        _IMAGE_FIELDS
        | {
            "images": _list(
                {"type": "object", "properties": {"image_url": _TEXT, "file_id": _TEXT}}
            )
        },
        "prompt",
        "images",
    ),
    "ImageEditForm": _object(
        _IMAGE_FIELDS | {"image": _FILE, "image[]": _list(_FILE), "mask": _FILE},
        "prompt",
        description="One file as image, or several as image[].",
    ),
    "ImageVariationForm": _object(
        {name: _IMAGE_FIELDS[name] for name in ("model", "n", "size", "official")}
        | {"image": _FILE},
        "image",
    ),
    "Images": _object(
        {
            "created": _SECONDS,
            "data": {
                "type": "array",
                "minItems": 1,
                "items": {
                    "type": "object",
                    "properties": {"url": _TEXT, "b64_json": _TEXT, "revised_prompt": _TEXT},
                    "anyOf": [{"required": ["url"]}, {"required": ["b64_json"]}],
                },
            },
            "usage": _IMAGE_USAGE,
            "quota": _POINTS,
        },
        "created",
        "data",
    ),
    "ImageEvent": _object(
        {
            "type": {
                "type": "string",
                "pattern": r"^image_(generation|edit)\.(partial_image|completed)$",
            },
            "b64_json": _TEXT,
            "usage": _IMAGE_USAGE,
            "quota": _POINTS,
        },
        "type",
    ),
    "Model": _object(
        {"id": _TEXT, "object": _const("model"), "created": _SECONDS, "owned_by": _TEXT}
    ),
    "Models": _object({"object": _const("list"), "data": _list(_ref("Model"))}),
    "Subscription": _object(
        {
            "object": _const("billing_subscription"),
            "has_payment_method": _FLAG,
            "soft_limit": _COUNT | {"description": "Whole points that are left."},
            "hard_limit": _COUNT | {"description": "Whole points ever granted."},
            "system_hard_limit": _COUNT,
            "soft_limit_usd": _USD,
            "hard_limit_usd": _USD,
            "system_hard_limit_usd": _USD,
            "access_until": _SECONDS | {"description": "Unix seconds; 0 for never."},
            "plan": _object({"title": _TEXT, "id": _TEXT}),
        }
    ),
    "BillingUsage": _object(
        {
            "object": _const("list"),
            "total_usage": _CENTS,
            "daily_costs": _list(
                _object(
                    {
                        "timestamp": {"type": "number", "description": "Unix seconds."},
                        "line_items": _list(_object({"name": _TEXT, "cost": _CENTS})),
                    }
                )
            ),
        }
    ),
    "CreditSummary": _object(
        {
            "object": _const("credit_summary"),
            "total_granted": _USD,
            "total_used": _USD,
            "total_available": _USD,
            "grants": _object(
                {
                    "object": _const("list"),
                    "data": _list(
                        _object(
                            {
                                "object": _const("credit_grant"),
                                "id": _TEXT,
                                "grant_amount": _USD,
                                "used_amount": _USD,
                                "effective_at": {"type": "number"},
                                "expires_at": {"type": ["number", "null"]},
                            }
                        )
                    ),
                }
            ),
        }
    ),
    "BillingRequest": _object(
        {
            "id": _TEXT,
            "object": _const("billing.request"),
            "created": _SECONDS,
            "request_id": _TEXT,
            "key_id": _TEXT,
            "endpoint": _TEXT,
            "model": _TEXT,
            "stream": _FLAG,
            "outcome": _TEXT,
            "usage": _USAGE | {"properties": _RECORDED},
            "quota": _POINTS,
        }
    ),
    "BillingRequests": _object(
        {
            "object": _const("list"),
            "data": _list(_ref("BillingRequest")),
            "has_more": _FLAG,
            "next": _nullable("string"),
        }
    ),
}

_HEADERS: Schema = {
    "x-request-id": {"required": True, "schema": _TEXT},
}
_KEEPALIVE: Schema = {
    "name": "x-tollgate-keepalive",
    "in": "header",
    "required": False,
    "schema": _const("whitespace"),
    "description": (
        "Asks for whitespace before a slow answer that is not streamed, so that no line is cut as "
        "idle. Status 200 is then sent before the outcome is known; an error is the body."
    ),
}


def _query(name: str, schema: Schema, description: str) -> Schema:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "schema": schema,
        "description": description,
    }


_DATES = [
    _query("start_date", {"type": "string", "format": "date"}, "First UTC day."),
    _query("end_date", {"type": "string", "format": "date"}, "UTC day after the last."),
]


def _operation(operation_id: str, summary: str, answers: Schema, **more: Any) -> Schema:
    """Return an operation; `answers`: content type to schema of the answer with status 200."""
    content = {kind: {"schema": schema} for kind, schema in answers.items()}
    return {
        "operationId": operation_id,
        "summary": summary,
        **more,
        "responses": {
            "200": {"description": "The answer.", "headers": _HEADERS, "content": content},
            "default": {"$ref": "#/components/responses/Error"},
        },
    }


def _body(**schemas: Schema) -> Schema:
    kinds = {"json": "application/json", "form": "multipart/form-data"}
    return {
        "required": True,
        "content": {kinds[kind]: {"schema": schema} for kind, schema in schemas.items()},
    }


def _streamable(whole: str, event: str) -> Schema:
    return {"application/json": _ref(whole), "text/event-stream": _ref(event)}


OPERATIONS: dict[tuple[str, str], Schema] = {
    ("post", "/v1/chat/completions"): _operation(
        "createChatCompletion",
        "Answer a conversation, whole or streamed.",
        _streamable("ChatCompletion", "ChatCompletionChunk"),
        requestBody=_body(json=_ref("ChatCompletionRequest")),
        parameters=[_KEEPALIVE],
        tags=["chat"],
    ),
    ("post", "/v1/images/generations"): _operation(
        "createImage",
        "Make images from a prompt.",
        _streamable("Images", "ImageEvent"),
        requestBody=_body(json=_ref("ImageGenerationRequest")),
        parameters=[_KEEPALIVE],
        tags=["images"],
    ),
    ("post", "/v1/images/edits"): _operation(
        "createImageEdit",
        "Change images as a prompt says.",
        _streamable("Images", "ImageEvent"),
        requestBody=_body(form=_ref("ImageEditForm"), json=_ref("ImageEditRequest")),
        parameters=[_KEEPALIVE],
        tags=["images"],
    ),
    ("post", "/v1/images/variations"): _operation(
        "createImageVariation",
        "Make variations of an image.",
        {"application/json": _ref("Images")},
        requestBody=_body(form=_ref("ImageVariationForm")),
        parameters=[_KEEPALIVE],
        tags=["images"],
    ),
    ("get", "/v1/models"): _operation(
        "listModels",
        "List the models that the key may use.",
        {"application/json": _ref("Models")},
        tags=["models"],
    ),
    ("get", "/v1/models/{model}"): _operation(
        "retrieveModel",
        "Describe a model, under the name that was asked for.",
        {"application/json": _ref("Model")},
        tags=["models"],
    ),
    ("get", "/v1/billing/requests"): _operation(
        "listBillingRequests",
        "List the account's requests, newest first.",
        {"application/json": _ref("BillingRequests")},
        parameters=[
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 100}, "Page size."),
            _query("after", _TEXT, "The `next` of the page before."),
            *_DATES,
        ],
        tags=["billing"],
    ),
}


def _billing_operations(prefix: str, position: int) -> dict[tuple[str, str], Schema]:
    """The three reads under one prefix; their ids are told apart by the prefix's number."""
    suffix = str(position) if position else ""
    reads: list[tuple[str, str, str, list[Schema]]] = [
        ("subscription", "Say what was granted and what is left.", "Subscription", []),
        ("usage", "Say what was spent, by day and model.", "BillingUsage", _DATES),
        ("credit_grants", "List the top-ups.", "CreditSummary", []),
    ]
    return {
        ("get", f"{prefix}/billing/{name}"): _operation(
            f"get{answer}{suffix}",
            summary,
            {"application/json": _ref(answer)},
            tags=["billing"],
            **({"parameters": parameters} if parameters else {}),
        )
        for name, summary, answer, parameters in reads
    }


for _position, _prefix in enumerate(_BILLING_PREFIXES):
    OPERATIONS |= _billing_operations(_prefix, _position)

COMPONENTS: Schema = {
    "schemas": _SCHEMAS,
    "responses": {
        "Error": {
            "description": "An error; nothing was charged.",
            "headers": _HEADERS,
            "content": {"application/json": {"schema": _ref("Error")}},
        }
    },
    "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
}

"""A metering gateway in FastAPI as most are written: httpx's lines, json, boto3, tiktoken at once.

It does what a metered chunk needs and no more: the key, the reserve, `quota` on each chunk, the
settle. It is neither right under retries nor safe from a crash; it is here to be compared with.

    uvicorn bench.naive.app:app        NAIVE_UPSTREAM_URL, NAIVE_DYNAMODB_URL
"""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from typing import Annotated, Any

import boto3
import httpx
import tiktoken
from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import StreamingResponse
from mangum import Mangum

TABLE = "bench"
PRICE_INPUT = 25  # micropoints a token
PRICE_OUTPUT = 100
OUTPUT_TOKENS = 4096

app = FastAPI(title="naive")
encoding = tiktoken.get_encoding("o200k_base")
upstream = httpx.AsyncClient(base_url=os.environ["NAIVE_UPSTREAM_URL"], timeout=300)
dynamodb = boto3.client(
    "dynamodb",
    region_name="us-east-1",
    endpoint_url=os.environ["NAIVE_DYNAMODB_URL"],
    aws_access_key_id="local",
    aws_secret_access_key="local",  # noqa: S106 - the stub takes any
)
handler = Mangum(app, lifespan="off")


def find_account(token: str) -> str:
    digest = hashlib.sha256(token.encode()).hexdigest()
    key = {"pk": {"S": f"KEY#{digest}"}, "sk": {"S": "KEY"}}
    found = dynamodb.get_item(TableName=TABLE, Key=key)
    if "Item" not in found:
        raise HTTPException(401)
    return str(found["Item"]["account"]["S"])


def move(account: str, amount: int) -> None:
    """Take `amount` from the balance, or give it back where it is below zero."""
    dynamodb.update_item(
        TableName=TABLE,
        Key={"pk": {"S": f"ACCOUNT#{account}"}, "sk": {"S": "ACCOUNT"}},
        UpdateExpression="SET balance = balance - :amount",
        ConditionExpression="balance >= :amount",
        ExpressionAttributeValues={":amount": {"N": str(amount)}},
    )


@app.post("/v1/chat/completions")
async def create_chat_completion(
    request: Request, authorization: Annotated[str, Header()]
) -> StreamingResponse:
    account = await asyncio.to_thread(find_account, authorization.removeprefix("Bearer "))
    body = await request.json()
    prompt = "".join(str(message["content"]) for message in body["messages"])
    prompt_tokens = len(encoding.encode(prompt))
    hold = prompt_tokens * PRICE_INPUT + OUTPUT_TOKENS * PRICE_OUTPUT
    await asyncio.to_thread(move, account, hold)
    return StreamingResponse(
        relay(body, account, prompt_tokens, hold), media_type="text/event-stream"
    )


async def relay(
    body: dict[str, Any], account: str, prompt_tokens: int, hold: int
) -> AsyncIterator[str]:
    """Send each chunk on with what it has cost so far; settle at the end."""
    quota, words = prompt_tokens * PRICE_INPUT, 0
    body["stream_options"] = {"include_usage": True}
    async with upstream.stream("POST", "/chat/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if not line.startswith("data: ") or line == "data: [DONE]":
                continue
            chunk = json.loads(line.removeprefix("data: "))
            words += 1
            if usage := chunk.get("usage"):
                words = usage["completion_tokens"]
            quota = prompt_tokens * PRICE_INPUT + words * PRICE_OUTPUT
            chunk["quota"] = quota / 1_000_000
            yield f"data: {json.dumps(chunk)}\n\n"
    await asyncio.to_thread(move, account, quota - hold)
    yield "data: [DONE]\n\n"

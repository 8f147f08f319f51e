"""A DynamoDB that says yes at once: every key is there, every condition holds, nothing is kept.

What is left of a call is the client's own cost. Whether the ledger is right is DynamoDB Local's to
say, in the tests; here each answer only has the shape that the real one has.

    python -m bench.stubs.dynamodb PORT
"""

import json
import socket
import sys
from datetime import UTC, datetime
from typing import Any

from tollgate.ledger import items
from tollgate.ledger.model import Key

from bench.stubs.http_server import Request, serve

ACCOUNT = "bench"
_KEY = Key(
    account_id=ACCOUNT,
    key_id="key_0123456789ab",
    label="bench",
    status="active",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def make_answer(operation: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to one operation."""
    if operation == "GetItem":
        partition: str = asked["Key"]["pk"]["S"]
        kind, _, digest = partition.partition("#")
        return {"Item": items.key_item(_KEY, digest)} if kind == "KEY" else {}
    if operation == "UpdateItem":
        attempt = asked.get("ExpressionAttributeNames", {}).get("#a", "")
        return {"Attributes": {"numbers": {"M": {attempt: {"N": "1"}}}}}
    if operation == "Query":
        return {"Items": [], "Count": 0, "ScannedCount": 0}
    return {}


def answer(request: Request, connection: socket.socket) -> None:
    """Answer one call."""
    operation = request.headers["x-amz-target"].rpartition(".")[2]
    body = json.dumps(make_answer(operation, json.loads(request.body))).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\n"
        f"x-amzn-RequestId: 0\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)


def main() -> None:
    """Serve until killed."""
    serve(socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128), answer)


if __name__ == "__main__":
    main()

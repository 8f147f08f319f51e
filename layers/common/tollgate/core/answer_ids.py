"""How an answer's id is made of its request's, so that either leads to the usage record."""

COMPLETION_PREFIX = "chatcmpl-"


def completion_id(request_id: str) -> str:
    """Return the id of a chat completion: behind OpenAI's prefix stands the usage record's id."""
    return f"{COMPLETION_PREFIX}{request_id}"

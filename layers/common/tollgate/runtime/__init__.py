"""Lambda response streaming for Python: the Runtime API on one side, an ASGI app on the other.

AWS's own `awslambdaric` logs, keeps the context and reports errors; what is here sends a stream,
which it cannot, and asks for events, which it does at the price of a thread each. Knows nothing of
Tollgate, and can be deleted on the day AWS's can stream: docs/streaming-runtime.md.

    handler    the function's Mangum handler, whose app is to be streamed
    answer     the ASGI conversation of one invocation
    stream     one POST to the Runtime API: prelude, eight NULs, chunks, trailers
    connection where events come from and answers go
    client     awslambdaric's client, with one more kind of result
"""

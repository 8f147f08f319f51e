"""EventBridge on this machine: a function is called every so often, for as long as we serve."""

import asyncio
import contextlib
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from local.runtime_api import Kind
from local.sandbox import Pool, SandboxError
from local.template import Schedule


@asynccontextmanager
async def keep_schedule(schedule: Schedule, pool: Pool) -> AsyncIterator[None]:
    """Call the function on its schedule, the first time after one interval."""
    calling = asyncio.create_task(_call_forever(schedule, pool))
    try:
        yield
    finally:
        calling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await calling


async def _call_forever(schedule: Schedule, pool: Pool) -> None:
    while True:
        await asyncio.sleep(schedule.every_s)
        line = await _call(pool)
        print(f"{time.strftime('%H:%M:%S')} {schedule.function} {line}", flush=True)


async def _call(pool: Pool) -> str:
    """Call it once; return what is said of it on the console."""
    event = {"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}
    try:
        parts = await pool.invoke(json.dumps(event).encode(), str(uuid.uuid4()))
    except SandboxError as error:
        return f"failed: {error}"
    part = await parts.get()
    return part.data.decode() if part.kind is Kind.BUFFERED else "failed; see the functions' log"

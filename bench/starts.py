"""From the start of a process to its first event, and to the first chunk of a cold answer.

Through the Runtime API, as Lambda sees it: `ready` is when /next is asked, or a server listens.
bench/cold_start.py has the imports alone, against `import fastapi, boto3`.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from bench.figures import Figure, read_rounds
from bench.gateways import Gateway
from bench.machine import read_cpu_s
from bench.streaming import FIRST, Samples
from bench.surroundings import make_body

ROUNDS = 5


async def measure(gateways: Sequence[Gateway], rounds: int = 0) -> dict[str, Any]:
    """Return each gateway's seconds: wall and CPU until it is ready, wall until the first chunk."""
    found: dict[str, Samples] = {gateway.name: defaultdict(list) for gateway in gateways}
    for _ in range(rounds or read_rounds(ROUNDS)):
        for gateway in gateways:
            try:
                await _start_one(gateway, found[gateway.name])
            finally:
                gateway.stop()
    return {
        name: {kind: Figure.of(values).as_json() for kind, values in samples.items()}
        for name, samples in found.items()
    }


async def _start_one(gateway: Gateway, samples: Samples) -> None:
    ready_s = await gateway.start()
    samples["ready_s"].append(ready_s)
    samples["ready_cpu_s"].append(read_cpu_s(gateway.pids))
    arrivals = (await gateway.ask(make_body(FIRST))).check(FIRST.chunks)
    samples["first_chunk_s"].append(ready_s + arrivals.first_s)

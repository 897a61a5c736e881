"""The reference for delivery: a bare aiohttp client loop, posting ready-made events with fixed concurrency.

    python -m tests.bench.bare_client --url URL --events N --concurrency C

Prints one JSON object: {"rate_per_s", "cpu_s_per_event"}; the rate is of the middle 80 % of the requests.
"""

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator

import aiohttp
import uvloop

from tests.bench.corpus import Corpus


async def run(url: str, bodies: list[bytes], concurrency: int) -> dict[str, float]:
    """Post every body once, `concurrency` at a time."""
    ends: list[float] = []
    queue: Iterator[bytes] = iter(bodies)
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            for body in queue:
                async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as reply:
                    await reply.read()
                    assert reply.status == 200
                ends.append(time.monotonic())

        cpu_s = time.process_time()
        await asyncio.gather(*(work() for _ in range(concurrency)))
        cpu_s = time.process_time() - cpu_s
    low, high = len(ends) // 10, len(ends) * 9 // 10
    return {"rate_per_s": (high - low) / (ends[high] - ends[low]), "cpu_s_per_event": cpu_s / len(ends)}


def main() -> int:
    parser = argparse.ArgumentParser(description="a bare aiohttp client loop")
    parser.add_argument("--url", required=True)
    parser.add_argument("--events", type=int, required=True)
    parser.add_argument("--concurrency", type=int, required=True)
    options = parser.parse_args()
    bodies = [event for _, event in itertools.islice(Corpus().events(), options.events)]
    print(json.dumps(uvloop.run(run(options.url, bodies, options.concurrency))))
    return 0


if __name__ == "__main__":
    sys.exit(main())

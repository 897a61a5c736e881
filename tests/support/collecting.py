"""A real collector on a real log, in the test's own loop; requests come from threads with plain sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from appliance.collect.collector import Collector
from appliance.core.clock import SystemClock
from appliance.core.config import CollectConfig, Config, SourceConfig, WalConfig
from appliance.core.event import Record, Refused
from appliance.core.metrics import Metrics
from appliance.core.secret import Secret
from appliance.wal.log import Log
from tests.support.appliance import WRITE_KEY
from tests.support.wire import Reply, Wire, basic


def source(key: str = WRITE_KEY, **options: Any) -> SourceConfig:
    """A source's table."""
    return SourceConfig(write_key=Secret(key), **options)


def configured(
    sources: Mapping[str, SourceConfig] | None = None, wal: WalConfig | None = None, **collect: Any
) -> Config:
    """A configuration on a free port of loopback."""
    return Config(
        collect=CollectConfig(**{"listen": "127.0.0.1:0", **collect}),
        wal=wal or WalConfig(),
        sources=dict(sources or {"web": source()}),
    )


def event(message_id: str = "m1", **fields: Any) -> dict[str, Any]:
    """An event as an SDK sends it to a single-event route."""
    return {"messageId": message_id, "anonymousId": "a1", "event": "Tested", "properties": {}, **fields}


class Collecting:
    """What a test sees of it."""

    def __init__(self, config: Config, folder: Path) -> None:
        self.health, self.readiness = (200, "ok"), (200, "ready")
        self.metrics = Metrics()
        self.log = Log.open(folder, config.wal, SystemClock())
        self.collector = Collector(
            self.log, config, SystemClock(), self.metrics, lambda: self.health, lambda: self.readiness
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.collector.url.rpartition(":")[2])

    async def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        key: str = WRITE_KEY,
    ) -> Reply:
        """One request on a connection of its own; bytes go as they are, anything else as JSON."""
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()

        def exchange() -> Reply:
            with Wire(self.port) as wire:
                return wire.request(method, path, sent, {**(basic(key) if key else {}), **(headers or {})})

        return await asyncio.to_thread(exchange)

    async def post(
        self, path: str, body: Any, headers: Mapping[str, str] | None = None, *, key: str = WRITE_KEY
    ) -> Reply:
        """See `send`."""
        return await self.send("POST", path, body, headers, key=key)

    def records(self) -> list[Record]:
        """Everything in the log."""
        return [record for block in self.log.read(0, 1 << 30) for record in block.records]

    def refused(self) -> list[Refused]:
        """Everything in the refused store."""
        return [kept.refused for kept in self.log.refused(limit=10_000)]

    def figure(self, line: str) -> float:
        """The number behind this beginning of a line of Prometheus text."""
        lines = self.metrics.exposition().decode().splitlines()
        return float(next(found for found in lines if found.startswith(f"{line} ")).rpartition(" ")[2])


@asynccontextmanager
async def collecting(folder: Path, config: Config | None = None, **collect: Any) -> AsyncIterator[Collecting]:
    """A collector that listens, on a fresh log in `folder`."""
    made = Collecting(config or configured(**collect), folder)
    made.log.start(asyncio.get_running_loop())
    await made.collector.start()
    try:
        yield made
    finally:
        await made.collector.stop()
        await made.log.stop()

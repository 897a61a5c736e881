"""The admin API on a real log and real deliveries, without a collector: for tests of control in one process."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from appliance.control.api import Control
from appliance.control.ports import Refused
from appliance.core import settings, write_keys
from appliance.core.clock import SystemClock
from appliance.core.config import DestinationConfig, SourceConfig
from appliance.core.errors import ConfigError, Fault
from appliance.core.event import Record
from appliance.core.metrics import Metrics
from appliance.core.settings import Loaded
from appliance.deliver.bind import Shelf, bind
from appliance.deliver.dispatcher import Bound, Dispatcher
from appliance.deliver.plugins import Plugin
from appliance.identity.rules import Rules
from appliance.process.identify import open_identifier
from appliance.process.pipeline import Pipeline
from appliance.process.resolve import IdResolver, Resolver
from appliance.wal.log import Log
from appliance.warehouse.stage import Staging
from tests.support import toml
from tests.support.appliance import WRITE_KEY


class Counted(msgspec.Struct):
    """What a collector says of one source."""

    name: str
    enabled: bool = True
    requests_total: int = 0
    accepted_total: int = 0
    duplicates_total: int = 0
    refused_total: int = 0
    repaired_total: int = 0
    last_received_ms: int = 0
    paused: bool = False
    accepted_per_s: float = 0.0
    refused_5m: int = 0


class Room:
    """Log, deliveries and admin API over one folder; stands in for `app.py` and the collector.

    Attributes:
        http: a session with the admin token.
        reloads: words that the next re-load answers, or the error it raises.

    Args:
        graph: whether there is a person graph; without one lanes are those of ids.
    """

    def __init__(
        self, folder: Path, config: Mapping[str, Any], resolver: Resolver | None = None, *, graph: bool = False
    ) -> None:
        self.data = folder / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        tables = {"sources": {"web": {"write_key": WRITE_KEY}}, **config}
        self.config_file = str(folder / "sternpost.toml")
        Path(self.config_file).write_text(toml.dumps(tables))
        self.configuration = settings.load(Path(self.config_file), self.data)
        self.version, self.collect_url = "0.0.test", "http://127.0.0.1:9"
        self.reloads: list[str] | Exception = []
        self.problems: list[str] = []
        self.unusable: dict[str, str] = {}
        self.refused: Refused | None = None
        self.paused: set[str] = set()
        self.bound: Mapping[str, Bound] = {}
        self.clock, self.metrics = SystemClock(), Metrics()
        self.log = Log.open(self.data / "wal", self.configuration.config.wal, self.clock)
        rules = Rules.configured(self.configuration.config)
        self.identifier = open_identifier(self.log, self.data / "identity", rules) if graph else None
        pipeline = Pipeline(resolver or self.identifier or IdResolver(), 1 << 20, self.grown)
        self.dispatcher = Dispatcher(
            self.log,
            pipeline,
            self.staging,
            self.identifier,
            self.clock,
            self.configuration.config,
            self.data / "paused.json",
        )
        listen = msgspec.structs.replace(self.configuration.config.control, listen="127.0.0.1:0")
        self.control = Control(
            self.log, self.dispatcher, self, self, listen, self.data, self.metrics, self.clock, self.identifier
        )
        self.url = ""
        self.http: aiohttp.ClientSession

    def staging(self, destination: str, dialect: str, config: DestinationConfig) -> Staging:
        """As the process makes them."""
        return Staging(destination, dialect, config, lambda: self.configuration.config.sources)

    def grown(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have deliveries woken as the log does it, and kept for a test whose graph lags."""
        self.wake = wake
        return (self.identifier or self.log).subscribe(wake)

    def status(self) -> Sequence[Counted]:
        return [Counted(name, paused=name in self.paused) for name in self.configuration.config.sources]

    def set_paused(self, name: str, paused: bool) -> None:
        if name not in self.configuration.config.sources:
            raise KeyError(name)
        (self.paused.add if paused else self.paused.discard)(name)

    def loaded(self) -> Loaded:
        return self.configuration

    def plugins(self) -> Mapping[str, Plugin]:
        return {one.config.plugin: one.plugin for one in self.bound.values()}

    def examined(self) -> tuple[Loaded | None, Sequence[Fault]]:
        try:
            return settings.examine(Path(self.config_file))
        except ConfigError as error:
            return None, error.faults

    async def rotate_key(self, name: str) -> write_keys.Kept:
        return write_keys.rotated(self.data, self.clock.wall_ms())

    def sources(self) -> Mapping[str, SourceConfig]:
        return self.configuration.config.sources

    def configured(self) -> Mapping[str, str]:
        return {name: one.plugin for name, one in self.configuration.config.destinations.items()}

    def faults(self) -> Sequence[str]:
        return self.problems

    def broken(self) -> Mapping[str, str]:
        return self.unusable

    def refused_reload(self) -> Refused | None:
        return self.refused

    async def reload(self) -> Sequence[str]:
        if isinstance(self.reloads, Exception):
            raise self.reloads
        return self.reloads

    @property
    def token(self) -> str:
        return (self.data / "admin.token").read_text().strip()

    async def collect(self, *events: dict[str, Any], source: str = "web") -> None:
        """Make these events durable, as the collector would."""
        await self.log.append([self.record(event, source) for event in events])

    def record(self, event: dict[str, Any], source: str = "web") -> Record:
        return Record(
            0,
            source,
            self.clock.wall_ms(),
            "203.0.113.9",
            event.get("type", "track"),
            event.get("anonymousId", ""),
            event.get("userId", ""),
            event["messageId"],
            "",
            0,
            msgspec.json.encode(event),
        )

    async def get(self, path: str, status: int = 200, **query: Any) -> Any:
        async with self.http.get(path, params=query) as reply:
            assert reply.status == status, (reply.status, await reply.text())
            return await reply.json()

    async def post(self, path: str, body: Any = None, status: int = 200) -> Any:
        headers = {"Idempotency-Key": secrets.token_hex(8)}
        async with self.http.post(path, json=body, headers=headers) as reply:
            assert reply.status == status, (reply.status, await reply.text())
            return await reply.json()

    async def settled(self) -> None:
        """Wait until the person graph has read what the log holds."""
        async with asyncio.timeout(15.0):
            while self.identifier and self.identifier.lag:
                await asyncio.sleep(0.01)

    def who(self, wanted: str) -> str:
        """The person with this id, by the graph, without a line in the audit trail."""
        lookup = self.control._parts.lookup
        assert lookup is not None
        (found,) = lookup.find(wanted)
        return found.person

    async def until(self, path: str, enough: Any, timeout_s: float = 15.0) -> Any:
        """Ask again until `enough(answer)`."""
        async with asyncio.timeout(timeout_s):
            while not enough(answer := await self.get(path)):
                await asyncio.sleep(0.03)
        return answer


@asynccontextmanager
async def running(
    folder: Path, config: Mapping[str, Any] | None = None, resolver: Resolver | None = None, *, graph: bool = False
) -> AsyncIterator[Room]:
    """A room that listens; everything ends with the block. Without a resolver and a graph, people are their ids."""
    room = Room(folder, config or {}, resolver, graph=graph)
    shelf = Shelf(room.data)
    shelf.look([])
    bound, broken = bind(shelf, room.configuration, folder)
    assert not broken, broken
    room.bound = bound
    room.log.start(asyncio.get_running_loop())
    if room.identifier:
        room.identifier.start()
    await asyncio.to_thread(room.dispatcher.start, bound)
    try:
        host, port = await room.control.start()
        room.url = f"http://{host}:{port}"
        headers = {"Authorization": f"Bearer {room.token}"}
        async with aiohttp.ClientSession(room.url, headers=headers) as room.http:
            yield room
    finally:
        await room.control.stop()
        await room.dispatcher.stop()
        if room.identifier:
            await asyncio.to_thread(room.identifier.stop)
        await room.log.stop()
        if room.identifier:
            room.identifier.close()

"""The composition root: builds the parts, starts and stops them in order. The first file to read.

    start:  folder -> configuration -> log -> person graph -> deliveries -> collector -> admin API
    stop:   collector, deliveries and windows of the console at once -> graph -> log -> admin API, within 10 s, nothing
            acknowledged is lost

Threads: this loop (collector and admin API), the log's writer, the person graph's, the delivery loop.
"""

import asyncio
import errno
import signal
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec
import uvloop

from appliance.collect.collector import Collector
from appliance.control.api import Control
from appliance.control.ports import Refused
from appliance.core import logs, memory, settings, write_keys
from appliance.core.clock import SystemClock
from appliance.core.config import Config, DestinationConfig, SourceConfig
from appliance.core.errors import ConfigError, Fault, LogFailed, Overloaded
from appliance.core.listen import holder_of
from appliance.core.metrics import Metrics
from appliance.core.settings import Loaded
from appliance.core.write_keys import Kept
from appliance.deliver.bind import Shelf, bind, everything_wrong, known_options_faults
from appliance.deliver.dispatcher import Bound, Dispatcher
from appliance.deliver.plugins import Plugin
from appliance.identity.rules import Rules
from appliance.process.identify import open_identifier
from appliance.process.pipeline import Pipeline
from appliance.process.resolve import IdResolver
from appliance.wal.log import Log
from appliance.warehouse.stage import Staging

EXIT_LOG_FAILED = 5
TIDY_S = 5.0
Ready = Callable[[Config, tuple[str, int]], None]
_LOG = logs.logger("app")


class App:
    """One process: everything between its configuration and its exit code.

    Args:
        config_path: the TOML file; None: loopback, generated keys, events written to the data folder.
        data: the data folder; made if it is not there.
        null_store: acknowledge without keeping anything; to measure what the log costs.

    Raises:
        ConfigError: the configuration cannot be used; every fault is listed.
        FolderLocked: another process runs on the data folder.
    """

    def __init__(self, config_path: Path | None, data: Path, *, null_store: bool = False) -> None:
        self.config_file = "" if config_path is None else str(config_path.absolute())
        self.data, self.version, self.collect_url = data, _version(), ""
        self._config_path = config_path
        self._control_listens = False
        memory.limit_arenas()
        memory.collect_nothing()
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._shelf = Shelf(data)
        self._loaded = self._read()
        logs.setup(self.config.logs.level, self.config.logs.format)
        self._bound, self._broken = self._bind(self._loaded)
        self._start_faults: list[str] = []
        self._refused: Refused | None = None
        self._clock, self._metrics = SystemClock(), Metrics()
        self._log = Log.open(data / "wal", self.config.wal, self._clock, null_store=null_store)
        if self._log.salvaged:
            _LOG.error(
                "store_quarantined", kept=self._log.salvaged, advice="sternpost wal verify looks into the old one"
            )
        self.identifier = (
            open_identifier(self._log, data / "identity", Rules.configured(self.config))
            if self.config.identity.enabled
            else None
        )
        """The person graph; None where it is not enabled."""
        if self.identifier:
            self._metrics.watch(self.identifier.readings)
        resolver, grown = self.identifier or IdResolver(), (self.identifier or self._log).subscribe
        self._pipeline = Pipeline(resolver, self.config.wal.cache_bytes_max, grown)
        self._dispatcher = Dispatcher(
            self._log, self._pipeline, self._stage, self.identifier, self._clock, self.config, data / "paused.json"
        )
        self._collector = Collector(
            self._log,
            self.config,
            self._clock,
            self._metrics,
            self._health,
            self._readiness,
            data / "paused-sources.json",
        )
        self._control = Control(
            log=self._log,
            dispatcher=self._dispatcher,
            collector=self._collector,
            host=self,
            clock=self._clock,
            metrics=self._metrics,
            data=data,
            config=self.config.control,
            identifier=self.identifier,
        )
        self._exit_code = 0
        self._reloading = asyncio.Lock()

    @property
    def config(self) -> Config:
        """What is in force."""
        return self._loaded.config

    def run(self, on_ready: Ready | None = None) -> int:
        """Run until SIGTERM or SIGINT, or until the log fails; returns the exit code.

        Args:
            on_ready: called once with the configuration and the collector's host and port, when everything that could
                start has started; port 0 where the collector does not listen.
        """
        uvloop.run(self._run(on_ready))
        return self._exit_code

    def console_link(self) -> str:
        """An address that opens the console in one browser, once, within ten minutes; "" where it cannot be."""
        return self._control.console.link()

    async def _run(self, on_ready: Ready | None) -> None:
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, ended.set)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._reload_on_signal()))

        def log_failed(_: LogFailed) -> None:
            self._exit_code = EXIT_LOG_FAILED
            loop.call_soon_threadsafe(ended.set)

        self._log.on_failure(log_failed)
        try:
            await self._start(loop)
            if on_ready:
                on_ready(self.config, self._collector.address if self.collect_url else ("", 0))
            await ended.wait()
        finally:
            await self._stop()

    async def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._log.start(loop)
        if self.identifier:
            self.identifier.start()
            await self._tell_rules()
        loop.call_later(TIDY_S, self._tidy, loop, 0, 0)
        await asyncio.to_thread(self._dispatcher.start, self._bound)
        await self._start_listeners()
        memory.collect_less()
        _LOG.info("started", version=self.version, collect=self.collect_url, control=self.config.control.listen)
        self._log_faults()

    async def _start_listeners(self) -> None:
        self._start_faults = []
        if not self.collect_url:
            try:
                await self._collector.start()
                self.collect_url = self._collector.url
            except OSError as error:
                self._start_faults.append(_not_listening("collector", self.config.collect.listen, error))
        if not self._control_listens:
            try:
                await self._control.start()
                self._control_listens = True
            except OSError as error:
                self._start_faults.append(_not_listening("admin API", self.config.control.listen, error))

    def _tidy(self, loop: asyncio.AbstractEventLoop, seen: int, tidied: int) -> None:
        """Once the log has not grown for a while, caches are worth less than the memory they take."""
        last = self._log.last_sequence
        if last == seen != tidied:
            self._log.forget_cached()
            self._pipeline.forget_cached()
            if self.identifier:
                self.identifier.forget_cached()
            memory.release()
            tidied = last
        loop.call_later(TIDY_S, self._tidy, loop, last, tidied)

    async def _stop(self) -> None:
        """Within 10 s: what waits for others waits at the same time; then the log, into which everything empties."""
        waiting = (self._collector.stop(), self._dispatcher.stop(), self._control.close_windows())
        for failed in await asyncio.gather(*waiting, return_exceptions=True):
            if failed is not None:
                _LOG.error("part_not_stopped_cleanly", error=str(failed), kept="what is on disk")
        if self.identifier:
            await asyncio.to_thread(self.identifier.stop)
        await self._log.stop()
        await self._control.stop()
        if self.identifier:
            self.identifier.close()
        _LOG.info("stopped", exit_code=self._exit_code)

    async def _tell_rules(self) -> None:
        """The rules of identity are an entry of the log, so that it is known from which event on they hold."""
        assert self.identifier is not None
        try:
            await self.identifier.tell(Rules.configured(self.config), self._clock.wall_ms())
        except (Overloaded, LogFailed) as error:
            _LOG.error("identity_rules_refused", error=str(error), kept="the former rules; re-load once it drains")

    # Re-loading ----------------------------------------------------------------------------------------------

    async def reload(self) -> Sequence[str]:
        """Read the file again and go over to it; returns what changed, in words.

        Raises:
            ConfigError: it is refused; the running configuration stays.
        """
        async with self._reloading:
            try:
                changes = await self._reload()
            except ConfigError as error:
                self._refused = Refused(self._clock.wall_ms(), [self._at_home(fault) for fault in error.faults])
                raise
            self._refused = None
            return changes

    def _read(self) -> Loaded:
        """The file, or the defaults without one; where it is refused, for what plug-ins say of their keys as well."""
        try:
            return settings.load_or_default(self._config_path, self.data)
        except ConfigError:
            faults = everything_wrong(self._config_path, self._shelf)[0] if self._config_path is not None else []
            if not faults:
                raise
            raise ConfigError(faults) from None

    def _at_home(self, fault: Fault) -> Fault:
        """A fault for people who are in another folder than this process."""
        file = self.config_file if fault.file == str(self._config_path) else fault.file
        return Fault(file, fault.line, fault.key, fault.message, fault.hint)

    async def _reload(self) -> Sequence[str]:
        loaded = await asyncio.to_thread(self._read)
        bound, broken = await asyncio.to_thread(self._bind, loaded)  # plug-ins run as they are imported
        changes = _needs_restart(self.config, loaded.config)
        changes += _changed_sources(self.config.sources, loaded.config.sources)
        if self.config.control.tokens != loaded.config.control.tokens:
            changes.append("tokens of the admin API changed")
        changed_rules = Rules.configured(self.config).json != Rules.configured(loaded.config).json
        self._loaded, self._bound, self._broken = loaded, bound, broken
        logs.setup(loaded.config.logs.level, loaded.config.logs.format)
        if self.identifier and changed_rules:  # Ahead of the collector: a new source may not teach before it is judged.
            await self._tell_rules()
            changes.append("the rules of identity changed; they hold from the next event on")
        self._collector.apply(loaded.config)
        self._control.apply(loaded.config.control)
        changes += await self._dispatcher.apply(loaded.config, bound)
        await self._start_listeners()
        _LOG.info("reloaded", changes="; ".join(changes) or "none")
        self._log_faults()
        return changes + [f"not started: {fault}" for fault in self.faults()]

    async def _reload_on_signal(self) -> None:
        try:
            await self.reload()
        except ConfigError as error:
            _LOG.error("reload_refused", error=str(error), kept="the running configuration")

    def _log_faults(self) -> None:
        for fault in self.faults():
            _LOG.error("part_not_started", error=fault)

    def _bind(self, loaded: Loaded) -> tuple[dict[str, Bound], dict[str, str]]:
        self._shelf.look(loaded.config.plugins.folders)
        return bind(self._shelf, loaded, self._base())

    def _stage(self, destination: str, dialect: str, config: DestinationConfig) -> Staging:
        return Staging(destination, dialect, config, self.sources)

    def _base(self) -> Path:
        """Where relative paths of the configuration start."""
        return Path() if self._config_path is None else self._config_path.parent

    # What the admin API asks of the process ------------------------------------------------------------------

    def sources(self) -> Mapping[str, SourceConfig]:
        """The sources as they are configured now."""
        return self.config.sources

    def configured(self) -> Mapping[str, str]:
        """Configured destination -> its plug-in."""
        return {name: destination.plugin for name, destination in self.config.destinations.items()}

    def loaded(self) -> Loaded:
        """The configuration in force, and where its keys stand."""
        return self._loaded

    def plugins(self) -> Mapping[str, Plugin]:
        """Plug-ins that destinations use, by name."""
        return {one.config.plugin: one.plugin for one in list(self._bound.values())}

    def examined(self) -> tuple[Loaded | None, Sequence[Fault]]:
        """The configuration file as it is now, and what is wrong with it; blocking. Executes no plug-in."""
        try:
            if self._config_path is not None and (found := settings.examine(self._config_path))[1]:
                more = known_options_faults(self.plugins(), found[0], self._base())
                return found[0], sorted(found[1] + more, key=lambda fault: fault.line)
            loaded = settings.load_or_default(self._config_path, self.data)
        except ConfigError as error:
            return None, error.faults
        return loaded, known_options_faults(self.plugins(), loaded, self._base())

    async def rotate_key(self, name: str) -> Kept:
        """Give a source whose key we made another one; the old one holds for a day.

        Raises:
            KeyError: no such source.
            ValueError: its key is not ours to change.
            ConfigError: the new one cannot be kept; nothing has changed.
        """
        async with self._reloading:
            if name not in self.config.sources:
                raise KeyError(name)
            if not self._loaded.generated:
                line = self._loaded.line_of(("sources", name, "write_key"))
                raise ValueError(
                    f"the write key of {name} stands in {self.config_file}:{line}; nothing has changed. Put the new "
                    "key there, the old one into previous_write_key, and re-load"
                )
            keys = await asyncio.to_thread(write_keys.rotated, self.data, self._clock.wall_ms())
            sources = {**self.config.sources, name: settings.generated_source(keys)}
            self._loaded.config = msgspec.structs.replace(self.config, sources=sources)
            self._collector.apply(self.config)
            return keys

    def faults(self) -> Sequence[str]:
        """Parts that did not start, in words; any thread."""
        return (
            self._start_faults
            + (self.identifier.faults() if self.identifier else [])
            + [f"destination {name}: {why}; its events are kept in the log" for name, why in self._broken.items()]
        )

    def broken(self) -> Mapping[str, str]:
        """Configured destination that does not run -> what is wrong with its plug-in; any thread."""
        return self._broken

    def refused_reload(self) -> Refused | None:
        """The last re-load, where it was refused; any thread."""
        return self._refused

    def _health(self) -> tuple[int, str]:
        report = self._control.health()
        return report.status, "\n".join([report.health, *report.sick])

    def _readiness(self) -> tuple[int, str]:
        words = self._control.unready()
        return (503, "\n".join(["not ready", *words])) if words else (200, "ready")


def _version() -> str:
    try:
        return version("sternpost")
    except PackageNotFoundError:
        return "unknown"


def _not_listening(part: str, address: str, error: OSError) -> str:
    if error.errno != errno.EADDRINUSE:
        return f"{part}: cannot listen on {address}: {error.strerror or error}; the rest runs without it"
    holder = holder_of(address)
    return (
        f"{part}: {address} is taken by {holder or 'another process'}; the rest runs without it. "
        "Stop that process or choose another `listen`, then re-load with SIGHUP or restart"
    )


def _needs_restart(old: Config, new: Config) -> list[str]:
    tables = ("collect", "control", "wal", "outbound")
    new = msgspec.structs.replace(new, control=msgspec.structs.replace(new.control, tokens=old.control.tokens))
    changed = [f"[{name}]" for name in tables if getattr(old, name) != getattr(new, name)]
    if old.identity.enabled != new.identity.enabled:
        changed.append("[identity] enabled")
    return [f"{name} changed; it takes effect at the next start" for name in changed]


def _changed_sources(old: Mapping[str, SourceConfig], new: Mapping[str, SourceConfig]) -> list[str]:
    words = [f"source {name} removed" for name in old if name not in new]
    words += [f"source {name} added" for name in new if name not in old]
    return words + [f"source {name} changed" for name in new if name in old and old[name] != new[name]]

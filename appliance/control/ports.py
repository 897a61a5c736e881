"""What control needs of the other parts, as protocols: `app.py` hands in whatever fits them.

Threads: control lives on the collector's loop. What is marked *any thread* is called there or in a worker thread, and
must be quick and never block on a loop. What is `async` is awaited on control's loop; a part that lives on another
loop hops there by itself (`asyncio.wrap_future(asyncio.run_coroutine_threadsafe(...))`).

The write-ahead log is used as it is (`appliance.wal.log.Log`).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from appliance.core.config import SourceConfig
from appliance.core.errors import Fault
from appliance.core.event import Event, Record
from appliance.core.job import DestinationState
from appliance.core.settings import Loaded
from appliance.core.write_keys import Kept
from appliance.deliver.figures import LoadStatus
from appliance.deliver.outcome import Result
from appliance.deliver.plugins import Plugin

Delivered = Callable[[str, Event, Result, int, float], None]
"""What watches deliveries: destination, event, what came of it, attempts so far (this one included), milliseconds."""


class ErrorKind(Protocol):
    """Errors with the same words."""

    count: int
    last_ms: int
    """Wall time."""
    sample: str


class DestinationStatus(Protocol):
    """One destination as its operator sees it. Counts are since the start of the process."""

    @property
    def name(self) -> str: ...
    @property
    def plugin(self) -> str: ...
    @property
    def state(self) -> DestinationState: ...
    @property
    def enabled(self) -> bool: ...
    @property
    def sequence_low(self) -> int:
        """Every event up to here is settled (delivered, dead, held or filtered)."""
        ...

    @property
    def lag_events(self) -> int:
        """Events of the log that it has not settled; gaps may count."""
        ...

    @property
    def oldest_undelivered_ms(self) -> int:
        """Age of the oldest event that waits, held ones included; 0 when none does."""
        ...

    @property
    def held_people(self) -> int: ...
    @property
    def held_events(self) -> int: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def delivered_total(self) -> int: ...
    @property
    def failed_total(self) -> int:
        """Attempts that will be retried."""
        ...

    @property
    def aborted_total(self) -> int:
        """Events that became dead letters."""
        ...

    @property
    def filtered_total(self) -> int: ...
    @property
    def latency_p50_ms(self) -> float:
        """From the call of the plug-in to its answer."""
        ...

    @property
    def latency_p95_ms(self) -> float: ...
    @property
    def last_error(self) -> str:
        """In words; "" when there was none."""
        ...

    @property
    def last_error_sample(self) -> str: ...
    @property
    def breaker(self) -> Mapping[str, Any]:
        """state (closed, open, misconfigured), cause, opened_ms and next_probe_ms (wall time, 0 when closed)."""
        ...

    @property
    def errors(self) -> Mapping[str, "ErrorKind"]:
        """Reason -> how often; the latest last."""
        ...

    @property
    def hung(self) -> int:
        """Calls that did not end in time and cannot be stopped."""
        ...

    @property
    def sources(self) -> Sequence[str] | None:
        """Names of the sources delivered there; None: all."""
        ...

    @property
    def delivered_per_s(self) -> float:
        """Events, over the last 10 s."""
        ...

    @property
    def failed_5m(self) -> int:
        """Events not delivered, each attempt, over the last five minutes."""
        ...

    @property
    def last_error_ms(self) -> int:
        """Wall time; 0: never."""
        ...

    @property
    def load(self) -> LoadStatus | None:
        """Of a warehouse."""
        ...


class Dispatcher(Protocol):
    """The delivering side."""

    def status(self) -> Sequence[DestinationStatus]:
        """Every configured destination, in the order of the configuration. Any thread."""
        ...

    def route(self, record: Record) -> Mapping[str, Sequence[str]]:
        """Destination -> the lanes its parts of this event go into now; none where it is filtered. Any thread."""
        ...

    def processed(self, record: Record) -> tuple[Event, Sequence[str]]:
        """The event as it leaves the pipeline now, and the destinations that it goes to. Any thread."""
        ...

    def executing(self, sequence: int) -> Mapping[str, int]:
        """Destination or replay -> the attempt under way at this event; those whose plug-in has it now. Any thread."""
        ...

    def tap(self, callback: Delivered) -> Callable[[], None]:
        """Have `callback` called on the delivery loop after each delivery, until the returned function is called.

        The callback takes microseconds and raises nothing. Any thread.
        """
        ...

    async def pause(self, name: str) -> None:
        """Stop delivering; the position is kept, over a restart too. No error when it is paused already.

        Raises:
            KeyError: no such destination; so do all methods that take a name.
        """
        ...

    async def resume(self, name: str) -> None:
        """Deliver again from where it stood; an open breaker probes at once."""
        ...

    async def drain(self, name: str) -> int:
        """Whoever waits for a next try is tried now, an open breaker probes; returns how many people that is."""
        ...

    async def reload_warehouse(self, name: str) -> tuple[int, int, int]:
        """Have a warehouse loaded again from where its own cursor stands, as far as the log reaches.

        Returns:
            First and last sequence that come again, and how many before them are lost.

        Raises:
            KeyError: no such warehouse.
            ValueError: it could not be asked where it stands.
        """
        ...

    async def requeue(self, ids: Sequence[int], edited: Record | None = None) -> int:
        """Bring dead letters back into their lanes at their original sequence; returns how many there still were.

        Args:
            edited: takes the place of the original; for a single letter, of the same person and sequence.
        """
        ...

    async def replay(self, name: str, from_ms: int, to_ms: int, criteria: Mapping[str, str]) -> str:
        """Deliver what was received in [from_ms, to_ms) (wall time) again; returns the replay's name.

        Args:
            criteria: any of `type`, `event` (name of a track event, `*` allowed) and `user` (userId or anonymousId).

        Raises:
            ValueError: it cannot be started; the text says why.
        """
        ...

    async def cancel_replay(self, name: str) -> None:
        """End a replay where it stands: what it holds is dropped, its dead letters stay.

        Raises:
            KeyError: there is no such replay; it may have ended.
        """
        ...

    async def test(self, name: str, event: Event) -> Result:
        """Call the plug-in once with this event, outside of lanes and log, and tell what came of it."""
        ...

    async def forget(self, name: str) -> None:
        """End a parked destination: cursor, held queue, replays. Its dead letters stay.

        Raises:
            ValueError: it is configured; it must be taken out of the file first.
        """
        ...


class SourceStatus(Protocol):
    """What came of one source, since the start of the process."""

    @property
    def name(self) -> str: ...
    @property
    def enabled(self) -> bool: ...
    @property
    def requests_total(self) -> int: ...
    @property
    def accepted_total(self) -> int:
        """Events."""
        ...

    @property
    def duplicates_total(self) -> int:
        """Events."""
        ...

    @property
    def refused_total(self) -> int:
        """Events, or whole bodies, that never became events."""
        ...

    @property
    def repaired_total(self) -> int:
        """Events."""
        ...

    @property
    def last_received_ms(self) -> int:
        """Wall time; 0: never."""
        ...

    @property
    def paused(self) -> bool:
        """By an operator: it answers 503, and clients keep their events."""
        ...

    @property
    def accepted_per_s(self) -> float:
        """Events, over the last 10 s."""
        ...

    @property
    def refused_5m(self) -> int:
        """As `refused_total`, over the last five minutes."""
        ...


class Collector(Protocol):
    """The collecting side."""

    def set_paused(self, name: str, paused: bool) -> None:
        """Have a source refuse everything for now, or no longer; over a restart too. Any thread, blocking.

        Raises:
            KeyError: no such source.
            OSError: it cannot be kept; nothing has changed.
        """
        ...

    def status(self) -> Sequence[SourceStatus]:
        """Every configured source. Any thread."""
        ...


class Refused(NamedTuple):
    """A re-load that was refused."""

    when_ms: int
    """Wall time."""
    faults: Sequence[Fault]


class Host(Protocol):
    """The process around; `app.py` itself."""

    version: str
    config_file: str
    """Path as given; "" when it runs without a file."""
    collect_url: str
    """How clients on this machine reach the collector; "" while it does not listen."""

    def sources(self) -> Mapping[str, SourceConfig]:
        """The sources as they are configured now."""
        ...

    def configured(self) -> Mapping[str, str]:
        """Configured destination -> its plug-in."""
        ...

    def loaded(self) -> Loaded:
        """The configuration in force, and where its keys stand."""
        ...

    def examined(self) -> tuple[Loaded | None, Sequence[Fault]]:
        """The configuration file as it is now, as far as it is sound, and what is wrong with it. Blocking.

        None: nothing in it can be looked at.
        """
        ...

    def plugins(self) -> Mapping[str, Plugin]:
        """Plug-ins that destinations use, by name."""
        ...

    async def rotate_key(self, name: str) -> Kept:
        """Give a source whose key we made another one; the old one holds for a day.

        Raises:
            KeyError: no such source.
            ValueError: its key is not ours to change; the text says where it stands.
            ConfigError: the new one cannot be kept.
        """
        ...

    def broken(self) -> Mapping[str, str]:
        """Configured destination that does not run -> what is wrong with its plug-in. Any thread."""
        ...

    def refused_reload(self) -> Refused | None:
        """The last re-load, where it was refused; None after one that was not. Any thread."""
        ...

    def faults(self) -> Sequence[str]:
        """Parts that did not start, in words: a port that is taken, a plug-in that is broken. Any thread."""
        ...

    def reload(self) -> Awaitable[Sequence[str]]:
        """Read the file again; returns what changed, in words.

        Raises:
            ConfigError: it is refused; the running configuration stays.
        """
        ...

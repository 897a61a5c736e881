"""What the admin API says of one destination: its figures, why it does not deliver, and what to do about that."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from appliance.control.ports import DestinationStatus
from appliance.core.job import DestinationState
from appliance.wal.types import Skip


class ErrorView(msgspec.Struct, kw_only=True):
    """Errors of a destination with the same words."""

    reason: str
    count: int
    last_ms: int
    sample: str


class DestinationView(msgspec.Struct, kw_only=True):
    """A destination; counts are since the start of the process."""

    name: str
    kind: str = "destination"
    plugin: str
    sources: list[str]
    """Names of the sources delivered there."""
    state: str
    """running, degraded, open, misconfigured, paused, stopped (its plug-in is broken); parked when it is not configured
    any more."""
    enabled: bool
    sequence_low: int
    lag_events: int
    oldest_undelivered_age_ms: int
    held_people: int
    held_events: int
    in_flight: int
    delivered_total: int
    failed_total: int
    aborted_total: int
    filtered_total: int
    latency_p50_ms: float
    latency_p95_ms: float
    last_error: str
    last_error_sample: str
    breaker: dict[str, Any]
    errors: list[ErrorView]
    """By kind, the latest first."""
    hung: int
    """Calls of the plug-in that did not end in time and cannot be stopped."""
    delivered_per_s: float
    """Events, over the last 10 s."""
    failed_5m: int
    """Events not delivered, each attempt, over the last five minutes."""
    last_error_ms: int
    """0: there was none."""
    load: "LoadView | None" = None
    """Of a warehouse: what was loaded since the start of the process, and the last load."""
    next_step: str = ""
    """What a person does about its state; "" where there is nothing to do."""
    skips: list["SkipView"] = []
    """Ranges of the log that it did not deliver and never will by itself, the newest last; not in the overview."""


class LoadView(msgspec.Struct, kw_only=True):
    """What was loaded into a warehouse."""

    loads_total: int
    rows_total: int
    load_ms_total: float
    """So long the warehouse was at work for them."""
    last_ms: int
    """Wall time of the last load; 0: there was none yet."""
    last_rows: int
    last_tables: int
    last_columns: int
    """Columns that it added, those of new tables included."""
    last_duration_ms: float


class SkipView(msgspec.Struct):
    """A range of the log that a destination skipped."""

    first_sequence: int
    last_sequence: int
    skipped_ms: int
    """Wall time."""
    reason: str


def destination_view(status: DestinationStatus, sources: Sequence[str], payloads: bool) -> DestinationView:
    """A destination's figures.

    Args:
        sources: all there are, for a destination that takes from all.
        payloads: whether samples may be seen.
    """
    renamed = {"oldest_undelivered_age_ms": "oldest_undelivered_ms"}
    names = set(DestinationView.__struct_fields__) - {"kind", "skips", "next_step", "load"}
    values = {name: getattr(status, renamed.get(name, name)) for name in names}
    errors = [
        ErrorView(reason=reason, count=kind.count, last_ms=kind.last_ms, sample=kind.sample if payloads else "")
        for reason, kind in reversed(list(status.errors.items()))
    ]
    values |= {"next_step": _next_step(status.name, status.state, status.enabled)}
    values |= {"state": str(status.state), "breaker": dict(status.breaker), "errors": errors}
    values["sources"] = list(sources if status.sources is None else status.sources)
    if status.load is not None:
        values["kind"], values["load"] = "warehouse", LoadView(**msgspec.structs.asdict(status.load))
    if not payloads:
        values["last_error_sample"] = ""
    return DestinationView(**values)


class Kept(NamedTuple):
    """What the log keeps of a destination that has no worker."""

    low: int
    """Every event up to here is settled."""
    last: int
    """The newest event there is."""
    held_people: int
    held_events: int


def parked_view(name: str, kept: Kept) -> DestinationView:
    """A destination that the log knows and the configuration does not."""
    shown = _without_worker(name, "parked", kept)
    shown.next_step = (
        f"put [destinations.{name}] back into the file and re-load: it goes on where it stood; or drop its position "
        f"and what it holds for good: `sternpost destinations forget {name}`"
    )
    return shown


def broken_view(name: str, plugin: str, sources: Sequence[str], why: str, kept: Kept) -> DestinationView:
    """A configured destination that does not run.

    Args:
        why: what is wrong with its plug-in.
    """
    shown = _without_worker(name, str(DestinationState.STOPPED), kept)
    shown.plugin, shown.sources, shown.last_error, shown.enabled = plugin, list(sources), why, True
    shown.next_step = (
        f"mend the plug-in {plugin} (`sternpost plugins test {plugin}` tries it), then `sternpost reload`; its events "
        "wait in the log"
    )
    return shown


def _without_worker(name: str, state: str, kept: Kept) -> DestinationView:
    return DestinationView(
        name=name,
        plugin="",
        sources=[],
        state=state,
        enabled=False,
        sequence_low=kept.low,
        lag_events=max(0, kept.last - kept.low),
        oldest_undelivered_age_ms=0,
        held_people=kept.held_people,
        held_events=kept.held_events,
        in_flight=0,
        delivered_total=0,
        failed_total=0,
        aborted_total=0,
        filtered_total=0,
        latency_p50_ms=0.0,
        latency_p95_ms=0.0,
        last_error="",
        last_error_sample="",
        breaker={},
        errors=[],
        hung=0,
        delivered_per_s=0.0,
        failed_5m=0,
        last_error_ms=0,
    )


def _next_step(name: str, state: DestinationState, enabled: bool) -> str:
    """Of a destination that has a worker."""
    if state is DestinationState.PAUSED:
        told = f"`sternpost resume {name}`"
        return f"{told} lets it go on" if enabled else f"set enabled = true in [destinations.{name}] and re-load"
    if state is DestinationState.MISCONFIGURED:
        return (
            f"mend [destinations.{name}] and re-load, or mend the other side; `sternpost resume {name}` tries at once"
        )
    if state is DestinationState.OPEN:
        return f"mend the other side; it is probed by itself, and `sternpost destinations drain {name}` tries at once"
    return ""


def skip_view(skip: Skip, skew_ms: int) -> SkipView:
    """A skipped range; `skew_ms` is wall time minus log time."""
    reason = skip.reason or "its backlog was full"
    return SkipView(skip.first_sequence, skip.last_sequence, wall_ms(skip.skipped_ms, skew_ms), reason)


def wall_ms(log_ms: int, skew_ms: int) -> int:
    """A time of the log as wall time; 0 stays 0."""
    return log_ms + skew_ms if log_ms else 0

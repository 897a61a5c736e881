"""What passes a tail: events collected, processed or delivered, as a filter and a watcher see them."""

from collections.abc import Sequence
from typing import Any

from appliance.control import views
from appliance.core.clock import Clock
from appliance.core.event import Event, Record, event_name
from appliance.deliver.outcome import Result

STATES = {"succeeded": "succeeded", "retry": "failed", "abort": "aborted"}
"""An outcome of a call in the words of job states."""


class RecordSubject:
    """An event of the log as a filter and a watcher see it."""

    __slots__ = ("_clock", "_record")

    def __init__(self, record: Record, clock: Clock) -> None:
        self._record, self._clock = record, clock

    def values(self, key: str) -> Sequence[str]:
        return _of_event(key, self._record, self._record.raw)

    def age_ms(self) -> int:
        return self._clock.wall_ms() - self._record.received_ms

    def text(self) -> str:
        return self._record.raw.decode("utf-8", "replace")

    def view(self, payload: bool) -> dict[str, Any]:
        view = views.record_view(self._record)
        if not payload:
            del view["payload"]
        return view


class ProcessedSubject:
    """An event as it leaves the pipeline."""

    __slots__ = ("_clock", "_destinations", "_event")

    def __init__(self, event: Event, destinations: Sequence[str], clock: Clock) -> None:
        self._event, self._destinations, self._clock = event, destinations, clock

    def values(self, key: str) -> Sequence[str]:
        return self._destinations if key == "dest" else _of_event(key, self._event, self._event.json)

    def age_ms(self) -> int:
        return self._clock.wall_ms() - self._event.received_ms

    def text(self) -> str:
        return self._event.json.decode("utf-8", "replace")

    def view(self, payload: bool) -> dict[str, Any]:
        view = {"destination": list(self._destinations), **_event_view(self._event)}
        return {**view, "payload": views.raw_json(self._event.json)} if payload else view


class DeliveredSubject:
    """A delivery as a filter and a watcher see it."""

    __slots__ = ("_attempts", "_clock", "_destination", "_event", "_result", "_took_ms")

    def __init__(
        self, destination: str, event: Event, result: Result, attempts: int, took_ms: float, clock: Clock
    ) -> None:
        self._destination, self._event, self._result = destination, event, result
        self._attempts, self._took_ms, self._clock = attempts, took_ms, clock

    def values(self, key: str) -> Sequence[str]:
        own = {
            "dest": self._destination,
            "reason": self._result.reason,
            "state": STATES[self._result.kind],
            "code": str(views.code_of(self._result.reason) or ""),
        }
        if key in own:
            return (own[key],) if own[key] else ()
        return _of_event(key, self._event, self._event.json)

    def age_ms(self) -> int:
        return self._clock.wall_ms() - self._event.received_ms

    def text(self) -> str:
        return f"{self._destination} {self._result.reason} {self._event.json.decode('utf-8', 'replace')}"

    def view(self, payload: bool) -> dict[str, Any]:
        view = {
            "destination": self._destination,
            "state": STATES[self._result.kind],
            "reason": self._result.reason,
            "attempts": self._attempts,
            "took_ms": round(self._took_ms, 3),
            **_event_view(self._event),
            "replayed": self._event.replayed,
        }
        if not payload:
            return view
        return {**view, "sample": self._result.sample, "payload": views.raw_json(self._event.json)}


Subject = RecordSubject | ProcessedSubject | DeliveredSubject


def _of_event(key: str, event: Record | Event, payload: bytes) -> Sequence[str]:
    if key == "event":
        return (event_name(payload),)
    if key == "user":
        return [name for name in (event.user_id, event.anonymous_id) if name]
    field = {"source": event.source, "type": event.type, "id": event.message_id}.get(key)
    return (field,) if field else ()


def _event_view(event: Event) -> dict[str, Any]:
    return {
        "sequence": event.sequence,
        "part": event.part,
        "received_ms": event.received_ms,
        "source": event.source,
        "type": event.type,
        "event": event_name(event.json),
        "message_id": event.message_id,
        "user_id": event.user_id,
        "anonymous_id": event.anonymous_id,
    }

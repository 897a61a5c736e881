"""Structured logging on the standard library: past-tense event names with fields, as text or JSON, never a secret.

    log = logs.logger("collect")
    log.warning("request_refused", source="web", status=413, error="request size exceeds max limit")

A warning or error that repeats (same event, same source and destination, same error but for its numbers) is written
at most once in 10 s; the next one says how many were left out. Values given to `hide` are masked wherever they
turn up, exception texts included.
"""

import json
import logging
import re
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from appliance.core.recent_lines import RecentLines

REPEAT_S = 10.0
"""The same error is written at most once in this time."""
KINDS_MAX = 1_000
"""So many different errors are told apart; beyond it the longest silent one is forgotten."""
FIELD_CHARACTERS_MAX = 2_000
"""Longer values are cut."""

_ROOT = "sternpost"
_HIDE_CHARACTERS_MIN = 6  # shorter values would mask ordinary words
_hidden: set[str] = set()
recent = RecentLines()
"""What this process wrote last."""


class EventLogger:
    """Writes events of one room; made by `logger`.

    An event is a past-tense name (`destination_opened`); what belongs to it goes into fields, never into the name.
    """

    __slots__ = ("_fields", "_logger")

    def __init__(self, name: str, fields: dict[str, Any] | None = None) -> None:
        self._logger, self._fields = logging.getLogger(name), fields or {}

    def bind(self, **fields: Any) -> "EventLogger":
        """A logger that adds these fields to every event."""
        return EventLogger(self._logger.name, {**self._fields, **fields})

    def debug(self, event: str, **fields: Any) -> None:
        """For developers; the only level at which a payload may appear."""
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Something an operator wants in the record: started, reloaded, stopped. Normal operation is silent."""
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Something went wrong and was coped with."""
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Something went wrong and needs a person."""
        self._write(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """An error with the traceback of the exception being handled: our own mistake, or a plug-in's."""
        self._write(logging.ERROR, event, fields, trace=True)

    def _write(self, level: int, event: str, fields: dict[str, Any], trace: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, exc_info=trace, extra={"fields": {**self._fields, **fields}})


def logger(room: str) -> EventLogger:
    """The logger of a room (`collect`, `wal`, `deliver`, ...)."""
    return EventLogger(f"{_ROOT}.{room}")


def hide(value: str) -> None:
    """Never write this value: it is masked in every line from now on."""
    if len(value) >= _HIDE_CHARACTERS_MIN:
        _hidden.add(value)


def masked(text: str) -> str:
    """`text` without any hidden value."""
    for value in _hidden:
        if value in text:
            text = text.replace(value, "***")
    return text


def setup(level: str, format: Literal["text", "json"], stream: TextIO | None = None) -> None:
    """Send everything, libraries included, to `stream` (default: stderr). Calling it again replaces what stood."""
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _Handler)]:
        root.removeHandler(handler)
        handler.close()
    root.addHandler(_Handler(stream or sys.stderr, format))
    root.setLevel(logging.WARNING)
    logging.getLogger(_ROOT).setLevel(level.upper())


class Repeats:
    """Decides which errors are written; a value in, a value out, time from outside.

    Args:
        monotonic_s: a clock in seconds that never goes back.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        # kind -> when it was last written, how many were left out since
        self._seen: OrderedDict[tuple[str, ...], tuple[float, int]] = OrderedDict()

    def left_out(self, kind: tuple[str, ...]) -> int | None:
        """None: leave this one out. Else how many of its kind were left out since one was last written."""
        now_s = self._monotonic_s()
        written_s, count = self._seen.get(kind, (-REPEAT_S, 0))
        if now_s - written_s < REPEAT_S:
            self._seen[kind] = (written_s, count + 1)
            return None
        self._seen[kind] = (now_s, 0)
        self._seen.move_to_end(kind)
        if len(self._seen) > KINDS_MAX:
            self._seen.popitem(last=False)
        return count

    def pending(self) -> int:
        """How many were left out and not reported yet."""
        return sum(count for _, count in self._seen.values())


class _Handler(logging.Handler):
    """Writes one line per event. The base class holds its lock around `emit`."""

    def __init__(self, stream: TextIO, format: Literal["text", "json"]) -> None:
        super().__init__()
        self._stream, self._render = stream, _as_json if format == "json" else _as_text
        self._repeats = Repeats()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields = dict(getattr(record, "fields", {}))
            event = record.getMessage()
            if record.levelno >= logging.WARNING:
                left_out = self._repeats.left_out(_kind(record, event, fields))
                if left_out is None:
                    return
                if left_out:
                    fields["left_out"] = left_out
            trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
            _remember(record, event, fields, trace)
            self._stream.write(masked(self._render(record, event, fields, trace)) + "\n")
            self._stream.flush()
        except Exception:  # a log line that cannot be written must not stop the work it tells of
            self.handleError(record)

    def close(self) -> None:
        """At the end, say how many repeats were left out and never reported."""
        if pending := self._repeats.pending():
            record = logging.LogRecord(f"{_ROOT}.logs", logging.WARNING, "", 0, "repeats_left_out", None, None)
            try:
                self._stream.write(self._render(record, "repeats_left_out", {"count": pending}, "") + "\n")
            except ValueError:  # the stream is closed already
                pass
            self._repeats = Repeats()
        super().close()


def _kind(record: logging.LogRecord, event: str, fields: dict[str, Any]) -> tuple[str, ...]:
    """What makes two errors the same: all but numbers and ids in the error's text."""
    error = re.sub(r"\b(?=\w*\d)[\w-]+\b", "#", str(fields.get("error", ""))[:FIELD_CHARACTERS_MAX])
    if "fields" not in record.__dict__:  # a library's sentence
        event = str(record.msg)
    parts = [str(fields.get(name, "")) for name in ("source", "destination", "plugin")]
    return (record.name, str(record.levelno), event, *parts, error)


def _remember(record: logging.LogRecord, event: str, fields: dict[str, Any], trace: str) -> None:
    kept = {
        name: value if isinstance(value, int | float | None) else masked(_cut(value)) for name, value in fields.items()
    }
    if trace:
        kept["traceback"] = masked(trace)[-FIELD_CHARACTERS_MAX:]
    level = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
    recent.add(int(record.created * 1000), level, _room(record), masked(_cut(event)), kept)


def _as_text(record: logging.LogRecord, event: str, fields: dict[str, Any], trace: str) -> str:
    words = "".join(f" {name}={_quoted(value)}" for name, value in fields.items())
    lines = "".join(f"\n    {line}" for line in trace.splitlines())
    return f"{_time(record)} {record.levelname:<7} {_room(record)} {_one_line(event)}{words}{lines}"


def _as_json(record: logging.LogRecord, event: str, fields: dict[str, Any], trace: str) -> str:
    line: dict[str, Any] = {"time": _time(record), "level": record.levelname.lower()}
    line |= {"room": _room(record), "event": event}
    line |= {name: value if isinstance(value, int | float | None) else _cut(value) for name, value in fields.items()}
    if trace:
        line["traceback"] = trace
    return json.dumps(line, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _room(record: logging.LogRecord) -> str:
    return record.name.removeprefix(f"{_ROOT}.")


def _quoted(value: Any) -> str:
    text = str(value) if isinstance(value, int | float) else _cut(value)
    return text if re.fullmatch(r"[\w./:@+-]+", text) else json.dumps(text, ensure_ascii=False)


def _cut(value: Any) -> str:
    text = str(value)
    return text if len(text) <= FIELD_CHARACTERS_MAX else text[:FIELD_CHARACTERS_MAX] + "..."


def _one_line(text: str) -> str:
    return text.replace("\r", "\\r").replace("\n", "\\n")

"""All that a plug-in may import. `docs/plugins.md` shows how to write one in ten lines.

A plug-in is one Python file: a docstring, one `Config` struct and one function. The annotations are the contract.

    async def deliver(event: Event, config: Mine, http: Http) -> None          # one event per call
    async def deliver(events: Sequence[Event], config: Mine, http: Http) -> None   # a batch per call

Who calls what, when, and in parallel with what:

- The file is executed once per load, off the delivery loop. Do nothing there but define things.
- `open(config)` (optional; a context manager, `async` or not) is entered once per destination before the first
  delivery and left after the last; what it yields goes to the parameter of `deliver` that is annotated with its type.
- `deliver` is called with one event, or with 1 to `batch_events_max` events in order, by up to `in_flight_max` calls
  at once per destination, never twice at once for the same person. `async def` runs on the delivery loop, which all
  destinations share: never block there. `def` runs in a thread of the destination's own.
- It returns None: delivered, durably, all of it. Else it raises `Retry`, `Abort` or `Partial`. Anything else that it
  raises or returns is a fault of the plug-in: tried again within the limits of the destination, and shown as a bug.
- After `timeout_s` an `async def` is cancelled, and the call counts as failed. A thread cannot be cancelled: its call
  counts as failed and as *hung*, it keeps its place among the `in_flight_max`, and its events are not sent again
  before it has ended; if it then ends well, that is what counts.
- `check(config)` (optional; parameters as for `deliver`, without events) says with `Retry` or `Abort` why the
  destination cannot work; called when an operator asks.
- `limits(config) -> Limits` (optional) replaces `LIMITS` where they depend on the configuration.
- A delivery may happen again after a crash, with the same `message_id`: make it idempotent where the target allows.

A warehouse has `load` instead, and `DIALECT` says what kind it is. All of its functions are plain `def`s.

    def inspect(stream: str, config: Mine) -> Known             # what it holds, and how far it was loaded
    def load(load: Load, config: Mine) -> None                  # finished tables, as one transaction
    def query(sql: str, rows_max: int, config: Mine) -> Answer  # optional; reads and changes nothing

- `load` adds the tables and columns that are missing, brings in every table by its `mode`, and notes the range with
  its cursor in `sternpost_loads`; all of that is there afterwards, or nothing. A range that the cursor says was loaded
  is passed over. It raises `Retry` for whatever may pass, a lost right or a full disk included, and `Abort` for what
  the warehouse can never take: then the range is halved, until single events are dead letters.
- The host never makes two calls at once, but one that timed out may still be at work.
"""

import math
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Literal, Protocol

import msgspec

from appliance.core.config import Bytes, Count, Seconds
from appliance.core.event import Event
from appliance.core.loads import Answer, Column, Known, Load, Table, csv_of, plain
from appliance.core.quoting import identifier as quote_identifier
from appliance.core.quoting import literal as quote_literal
from appliance.core.secret import Secret

__all__ = [
    "Abort",
    "Answer",
    "Bytes",
    "Column",
    "Config",
    "Count",
    "Event",
    "Http",
    "Known",
    "Limits",
    "Load",
    "Log",
    "Partial",
    "Reply",
    "Retry",
    "Seconds",
    "Secret",
    "Table",
    "Url",
    "csv_of",
    "plain",
    "quote_identifier",
    "quote_literal",
]

AFTER_S_MAX = 3600.0
"""Longest wait that a destination can ask for. Source: contract/http.md, Delivery."""
THROTTLED_AFTER_S = 1.0
"""Wait after a 429 that names none."""

Url = Annotated[str, msgspec.Meta(extra={"unit": "endpoint"})]
"""A configuration key that holds an address to call: http:// or https://, a host, perhaps a path and a query."""


class Config(msgspec.Struct, forbid_unknown_fields=True):
    """The keys of a destination that are the plug-in's own; derive from it, and write a docstring under each key.

    Keys without a default come first. Types: str, int, float, bool, `Url`, `Path`, `Secret` (given as `env:NAME` or
    `file:PATH`), `Bytes` ("4 MiB"), `Seconds` ("30s"), `Count`, `Literal[...]`, lists and dicts of them, another
    Config as a table, and any of them `| None`. A ValueError from `__post_init__` is a readable fault too. Treat it as
    read-only. The names of the host's own keys (`plugin`, `sources`, `retry`, `timeout`, ...) are refused.
    """


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a plug-in wants to be called; a destination's own keys may lower or raise all but `batch_events_max`."""

    batch: Literal["atomic", "independent"] = "atomic"
    """What a batch is, for `Sequence[Event]`. Atomic: events in order, perhaps many of one person, that succeed or
    fail together (no `Partial`). Independent: at most one event per person, `Partial` allowed."""
    batch_events_max: Count = 100
    """Most events in a call; a destination's key of the same name can lower it."""
    in_flight_max: Count = 8
    """Most calls at once."""
    timeout_s: Seconds = 30.0
    """Longest call."""
    rate_per_s: float | None = None
    """Most events per second; None: no limit."""
    load_every_s: Seconds = 30.0
    """Of a warehouse: longest wait between two loads."""


class Retry(Exception):
    """Not delivered now, perhaps later; later events of these people wait, others go on.

    Args:
        reason: short, for people; the same words for the same cause, without ids or times.
        after_s: the target asked to be left alone so long (capped at an hour): slows the whole destination and counts
            towards no limit.
        sample: what the target said, if it is not in the reply of the injected `http`.
        throttled: the target is busy without saying for how long; like `after_s`.
        connection: no connection came about, so surely nothing was delivered; set by the injected `http`.
    """

    def __init__(
        self,
        reason: str,
        *,
        after_s: float | None = None,
        sample: str = "",
        throttled: bool = False,
        connection: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason, self.sample, self.connection = reason, sample, connection
        self.after_s = None if after_s is None else capped_s(after_s)
        self.throttled = throttled or after_s is not None


class Abort(Exception):
    """Never deliverable as it is: the event becomes a dead letter with this reason. A batch is halved first.

    Args:
        reason: short, for people; the same words for the same cause ("HTTP 404").
        sample: what the target said, if it is not in the reply of the injected `http`.
    """

    def __init__(self, reason: str, *, sample: str = "") -> None:
        super().__init__(reason)
        self.reason, self.sample = reason, sample


class Partial(Exception):
    """Of an independent batch, the events at these indices failed; all others are delivered.

    Args:
        failed: index in the batch -> `Abort` or `Retry`.
    """

    def __init__(self, failed: Mapping[int, Abort | Retry]) -> None:
        super().__init__(f"{len(failed)} of a batch failed")
        self.failed = dict(failed)


class Reply:
    """What an HTTP server answered.

    Attributes:
        status: 100 to 599. Redirects are not followed, so 3xx arrives here.
        phrase: the words behind the status, perhaps "".
        headers: names in any case; of a repeated header the first.
        body: the bytes, at most the host's cap (64 KiB as shipped).
        truncated: the server sent more than the cap; the rest was not read.
    """

    __slots__ = ("body", "headers", "phrase", "status", "truncated")

    def __init__(
        self, status: int, headers: Mapping[str, str], body: bytes, *, phrase: str = "", truncated: bool = False
    ) -> None:
        self.status, self.headers, self.body = status, headers, body
        self.phrase, self.truncated = phrase, truncated

    @property
    def text(self) -> str:
        """The body as UTF-8; what is none becomes U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as JSON.

        Raises:
            msgspec.DecodeError: when it is none; a plug-in that lets it pass is shown as faulty.
        """
        return msgspec.json.decode(self.body)

    @property
    def retry_after_s(self) -> float | None:
        """Seconds of the `Retry-After` header (a number or a date), 0 to 3600; without one 1.0 for a 429, else None."""
        wait_s = seconds_of(self.headers.get("Retry-After", ""), self.headers.get("Date", ""))
        if wait_s is None and self.status == 429:
            return THROTTLED_AFTER_S
        return wait_s

    def raise_for_status(self) -> None:
        """The rule that most targets follow: 2xx is delivered.

        Raises:
            Retry: 408, 429 and 5xx; with `retry_after_s`, if there is one.
            Abort: everything else, redirects included.

        Source: contract/http.md, Delivery.
        """
        if 200 <= self.status < 300:
            return
        reason = f"HTTP {self.status}"
        if self.status in (408, 429) or self.status >= 500:
            raise Retry(reason, after_s=self.retry_after_s)
        raise Abort(f"{reason}, a redirect, which is not followed" if 300 <= self.status < 400 else reason)


class Http(Protocol):
    """The injected HTTP client: shared, vets every address it connects to, follows no redirects.

    Every method answers with a `Reply` whatever its status. Where no whole reply comes it raises `Retry` with words
    for people; let that pass. A proxy and private authorities come from the `[outbound]` table.
    The body goes out as `application/json` unless `headers` name another Content-Type.
    """

    async def request(
        self, method: str, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """Any method. The `timeout_s` of the plug-in ends it.

        Raises:
            Retry: no reply: refused, reset, name not found, TLS failed, or the address is not allowed.
        """
        ...

    async def post(self, url: str, *, body: bytes, headers: Mapping[str, str] | None = None) -> Reply:
        """`request("POST", ...)`."""
        ...

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Reply:
        """`request("GET", ...)`."""
        ...


class Log(Protocol):
    """The injected log: structured, with past-tense event names; the destination's name is added."""

    def debug(self, event: str, **fields: object) -> None: ...

    def info(self, event: str, **fields: object) -> None: ...

    def warning(self, event: str, **fields: object) -> None: ...

    def error(self, event: str, **fields: object) -> None: ...


def capped_s(wait_s: float) -> float:
    """A wait within 0 to an hour; what is no number counts as an hour."""
    return AFTER_S_MAX if math.isnan(wait_s) else min(max(float(wait_s), 0.0), AFTER_S_MAX)


def seconds_of(retry_after: str, date: str = "") -> float | None:
    """A Retry-After header in seconds, 0 to 3600; None where it is missing or unreadable.

    Args:
        retry_after: seconds, or an HTTP date.
        date: the reply's own Date header, which a Retry-After date is measured from; this machine's clock without it.

    Source: RFC 9110, section 10.2.3.
    """
    text = retry_after.strip()
    if not text:
        return None
    try:
        seconds = float(text)
    except ValueError:
        until_s, now_s = _epoch_s(text), _epoch_s(date)
        return None if until_s is None else capped_s(until_s - (time.time() if now_s is None else now_s))
    return capped_s(seconds) if math.isfinite(seconds) else None


def _epoch_s(http_date: str) -> float | None:
    try:
        return parsedate_to_datetime(http_date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None

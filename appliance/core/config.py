"""The configuration: one struct per table of `sternpost.toml`, every key documented where it is declared.

Sizes are bytes, durations seconds; the TOML takes `"4 GiB"` and `"24h"` too.
Reading and fault reports: `core/settings.py`.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from appliance.core.secret import Secret

ID_TYPES = ("user_id", "email", "phone", "device_id", "anonymous_id")
"""Types of ids that every event may have; all others are external ids, or configured."""
MIB, GIB, HOUR_S, DAY_S = 1 << 20, 1 << 30, 3600.0, 86_400.0

# What a value means and may be; `core/tables.py` reads them when it converts a table.
Bytes = Annotated[int, msgspec.Meta(ge=1, le=1 << 62, extra={"unit": "bytes"})]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=100 * 365 * DAY_S, extra={"unit": "seconds"})]
Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=1e9)]
Share = Annotated[float, msgspec.Meta(gt=0, le=1)]
Address = Annotated[str, msgspec.Meta(extra={"unit": "address"})]
Network = Annotated[str, msgspec.Meta(extra={"unit": "network"})]
Origin = Annotated[str, msgspec.Meta(extra={"unit": "origin"})]
Url = Annotated[str, msgspec.Meta(extra={"unit": "url"})]
Start = Annotated[str, msgspec.Meta(extra={"unit": "start"})]
Moment = Annotated[str, msgspec.Meta(extra={"unit": "moment"})]
CallingCode = Annotated[str, msgspec.Meta(extra={"unit": "calling_code"})]
EventPath = Annotated[str, msgspec.Meta(extra={"unit": "event_path"})]
CountOrNone = Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
"""0 stands for no limit: TOML has no word for none."""
Teaching = Literal["full", "sightings", "none"]
"""What the events of a source may teach the person graph."""


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named table; an unknown key is a fault."""


class TlsConfig(_Table, frozen=True, kw_only=True):
    certificate: Path
    """PEM file with the certificate chain."""
    key: Path
    """PEM file with the private key."""


class CollectConfig(_Table, frozen=True, kw_only=True):
    listen: Address = "127.0.0.1:8080"
    """Address and port for events."""
    tls: TlsConfig | None = None
    """Serve HTTPS with this certificate."""
    trusted_proxies: list[Network] = []
    """Networks (CIDR) whose X-Forwarded-For is believed."""
    body_bytes_max: Bytes = 4_096_000
    """Decompressed bytes of one request."""
    event_bytes_max: Bytes = 512 * 1024
    """Bytes of one event."""
    depth_max: Count = 64
    """Nesting depth of one event."""
    ratio_max: Count = 200
    """Decompressed bytes per compressed byte, once 1 MiB is out."""
    header_timeout_s: Seconds = 10.0
    """Time for a client to send a request's head."""
    body_timeout_s: Seconds = 30.0
    """Time for a client to send a request's body."""
    keepalive_timeout_s: Seconds = 75.0
    """An idle connection is closed after this."""
    connections_max: Count = 10_000
    """Further connections are closed at once."""
    pending_bytes_max: Bytes = 64 * MIB
    """Bytes of requests in memory, read but not yet committed; beyond it: 503."""
    public_url: Url = ""
    """How browsers reach this collector, for the printed snippet; default: from the listener."""


class TokenConfig(_Table, frozen=True, kw_only=True):
    token: Secret
    """What its holder sends as a bearer token, at least 16 characters; env:NAME or file:PATH."""
    role: Literal["viewer", "operator", "admin"] = "viewer"
    """viewer looks; operator also pauses, requeues, replays and drains; admin also deletes, rotates and re-loads."""
    payloads: bool = False
    """Whether its holder may see the content of events, and samples of what was sent and answered."""


class ControlConfig(_Table, frozen=True, kw_only=True):
    listen: Address = "127.0.0.1:8081"
    """Address and port of the admin API."""
    tls: TlsConfig | None = None
    """Serve the admin API over HTTPS."""
    tokens: dict[str, TokenConfig] = {}
    """Further tokens by name, beside the one in DATA/admin.token; they re-load while running."""
    console_windows_max: Annotated[int, msgspec.Meta(ge=0, le=64)] = 4
    """So many windows of the console in the browser at once, each a process; 0: there is none."""


class WalConfig(_Table, frozen=True, kw_only=True):
    disk_bytes_max: Bytes = 4 * GIB
    """Disk budget of the log: blocks, held queues, dead letters."""
    high_water: Share = 0.9
    """Share of the budget at which the collector answers 503."""
    ballast_bytes: Annotated[int, msgspec.Meta(ge=0, le=1 << 40, extra={"unit": "bytes"})] = 16 * MIB
    """A real file, given back to the file system when the disk itself is full."""
    retention: Seconds = 24 * HOUR_S
    """Delivered events are kept this long for replay."""
    on_full: Literal["reject", "drop_oldest"] = "reject"
    """At the high-water mark: refuse new events, or drop the oldest undelivered (counted and audited)."""
    group_delay_s: Seconds = 0.002
    """A commit group is handed to the disk after at most this."""
    group_bytes_max: Bytes = 4 * MIB
    """A commit group is closed at this size."""
    queue_bytes_max: Bytes = 32 * MIB
    """Bytes waiting for commit; beyond it: 503."""
    dedup_ids_min: Count = 200_000
    """The deduplication window holds at least this many ids."""
    dedup_window: Seconds = HOUR_S
    """... and at least this long."""
    dedup_ids_max: Count = 1_000_000
    """... and never more than this many (about 100 bytes of memory each)."""
    dead_bytes_max: Bytes = 512 * MIB
    """Budget of dead letters; the oldest are evicted beyond it, or for newer ones where the disk budget is spent."""
    dead_age_max: Seconds = 30 * DAY_S
    """Dead letters are kept this long."""
    refused_bytes_max: Bytes = 64 * MIB
    """Budget of refused input."""
    refused_age_max: Seconds = 7 * DAY_S
    """Refused input is kept this long."""
    held_bytes_max: Bytes = 512 * MIB
    """Budget of one destination's held queues; at it, or at its share of half the disk budget, it stops reading."""
    cache_bytes_max: Bytes = 8 * MIB
    """Decoded blocks shared by all destinations."""


class SourceConfig(_Table, frozen=True, kw_only=True):
    write_key: Secret
    """What clients authenticate with; literal, env:NAME or file:PATH."""
    previous_write_key: Secret | None = None
    """Accepted beside write_key while clients change over to that; literal, env:NAME or file:PATH."""
    previous_write_key_until: Moment = ""
    """The previous key is refused from this RFC 3339 time on; "": as long as it stands here."""
    type: Literal["http"] = "http"
    """Kind of source."""
    enabled: bool = True
    """A disabled source answers 404."""
    webhook: bool = False
    """Accept any shape on /v1/webhook."""
    origins: list[Origin] = []
    """Origins allowed by CORS; empty: any."""
    rate_per_s: Rate | None = None
    """Requests per second; beyond it: 429."""
    identity: Teaching = "full"
    """What the person graph learns from it: full; sightings: what is seen together, while alias and merge join no two
    customers; none: nothing, events only go to whom they name. docs/identity.md says which source should have which."""


class RetryConfig(_Table, frozen=True, kw_only=True):
    attempts_max: Count = 1000
    """A job is aborted after this many failed attempts."""
    age_max: Seconds = 3 * DAY_S
    """A job is aborted this long after its first failed attempt."""
    delay_min: Seconds = 1.0
    """Ceiling of the first wait; each further ceiling doubles, and the wait is random below it."""
    delay_max: Seconds = 300.0
    """Highest ceiling."""


class BacklogConfig(_Table, frozen=True, kw_only=True):
    bytes_max: Bytes | None = None
    """Undelivered bytes at which `when_full` applies; default: 80 % of the log's budget."""
    age_max: Seconds | None = None
    """Age of the oldest undelivered event at which `when_full` applies."""
    when_full: Literal["block", "skip"] = "block"
    """Keep all until the log's budget is spent, or skip the oldest and record what was skipped."""


class BreakerConfig(_Table, frozen=True, kw_only=True):
    people: Count = 20
    """Different people that fail with no success between before the breaker opens."""
    window: Seconds = 60.0
    """Only failures this recent count."""
    probe_min: Seconds = 1.0
    """First wait between probes."""
    probe_max: Seconds = 60.0
    """Longest wait between probes."""


class LoadConfig(_Table, frozen=True, kw_only=True):
    """How a warehouse is loaded; other destinations do without it."""

    every: Seconds | None = None
    """Longest wait between two loads; default: the plug-in's own, 30 s for an embedded warehouse, 5 min for others."""
    events_max: Count = 20_000
    """So many waiting events are loaded at once, without waiting; no load has more."""
    bytes_max: Bytes = 16 * MIB
    """No load has more bytes of events."""
    json_paths: list[EventPath] = []
    """What stays JSON rather than becoming columns: "properties.cart", or "track.properties.cart" of one type alone."""


class DestinationConfig(_Table, frozen=True, kw_only=True):
    plugin: str
    """Name of the plug-in file, without .py."""
    sources: list[str] | None = None
    """Names of the sources delivered here; all, if left out."""
    enabled: bool = True
    """A disabled destination is paused: it keeps its position."""
    start: Start = "now"
    """Where a new destination begins: now, oldest, or an RFC 3339 time."""
    retry: RetryConfig = RetryConfig()
    """When to try again and when to give up."""
    backlog: BacklogConfig = BacklogConfig()
    """What to do when it lags too far."""
    breaker: BreakerConfig = BreakerConfig()
    """When to stop trying everybody."""
    load: LoadConfig = LoadConfig()
    """How a warehouse is loaded."""
    in_flight_max: Count | None = None
    """Concurrent calls of the plug-in; default: the plug-in's own limit."""
    batch_events_max: Count | None = None
    """Most events per call, for a plug-in that takes batches; default: the plug-in's own limit."""
    batch_bytes_max: Bytes = MIB
    """Most bytes per call."""
    timeout: Seconds | None = None
    """Longest call; default: the plug-in's own limit."""
    rate_per_s: Rate | None = None
    """Most events per second; default: the plug-in's own limit."""
    read_ahead_max: Count = 2_000
    """Events taken from the log and not settled yet."""
    unsaved_max: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)] = 512
    """Outcomes that may wait for the next commit; a crash sends at most these and those in flight again."""
    options: dict[str, Any] = {}
    """The plug-in's own keys, as they stand in the table; its Config checks them. Not a key of the TOML itself."""


class PluginsConfig(_Table, frozen=True, kw_only=True):
    folders: list[Path] = []
    """Folders searched for drop-in plug-in files, before the shipped ones; DATA/plugins is always searched."""


class OutboundConfig(_Table, frozen=True, kw_only=True):
    proxy: Url = ""
    """HTTP proxy for all that plug-ins send by the shared client; "" connects directly."""
    authorities: Path | None = None
    """PEM file with private certificate authorities, trusted beside the system's."""
    allow: list[Network] = []
    """Networks (CIDR) that plug-ins may connect to; empty: any. The metadata services of clouds are never allowed."""
    reply_bytes_max: Bytes = 64 * 1024
    """Bytes of a reply that are read; the rest is cut."""


class IdTypeConfig(_Table, frozen=True, kw_only=True):
    """One type of id. None is "as this type is by default"; `identity/rules.py` knows the defaults."""

    enabled: bool = True
    """Whether ids of this type are read at all."""
    paths: list[EventPath] = []
    """Further places in an event that hold such an id: "properties.card", "context.traits.loyaltyId"."""
    normalise: Literal["trim", "lower", "digits", "email", "phone"] | None = None
    """What makes two spellings one id; default: email and phone for these two types, trim for all others."""
    blocked: list[str] = []
    """Values that are nobody's id, beside "null", "unknown", "0" and others that are always blocked."""
    most: CountOrNone | None = None
    """No person has more ids of this type; 0: no limit; default: user_id 10, device_id 20, anonymous_id 100, else 5."""
    unique: bool | None = None
    """Whether two of them are two people unless alias, merge or an operator says otherwise; default: user_id alone."""
    priority: CountOrNone | None = None
    """The lower, the sooner an id decides whose event it is; default: user_id 10, email 20, phone 30, device_id 50,
    anonymous_id 60, others 40."""
    window: Seconds | None = None
    """An id not seen for longer joins nobody any more, counted in whole days; 0, and by default: no such bound."""


class IdentityConfig(_Table, frozen=True, kw_only=True):
    enabled: bool = True
    """Keep the person graph; without it a person is an anonymousId, else a userId. Takes effect at the next start."""
    shared_after: Count = 3
    """An id seen with more different unique ids than this is shared, a kiosk say, and joins nobody any more."""
    ids_max: CountOrNone = 500
    """No person has more ids altogether; 0: no limit."""
    phone_country: CallingCode = ""
    """Calling code of phone numbers written without one, such as "44"; "": they are left out."""
    keep_traits: bool = True
    """Keep names, addresses and the like of identified people, for `people suggest`."""
    ids: dict[str, IdTypeConfig] = {}
    """Rules by type of id: user_id, email, phone, device_id, anonymous_id, or one of your own."""


class LogsConfig(_Table, frozen=True, kw_only=True):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is written."""
    format: Literal["text", "json"] = "text"
    """One line per event, as text for people or JSON for machines."""


class Config(_Table, frozen=True, kw_only=True):
    """The whole file."""

    collect: CollectConfig = CollectConfig()
    """The collector."""
    control: ControlConfig = ControlConfig()
    """The admin API."""
    wal: WalConfig = WalConfig()
    """The write-ahead log."""
    plugins: PluginsConfig = PluginsConfig()
    """Where plug-ins are found."""
    outbound: OutboundConfig = OutboundConfig()
    """How plug-ins reach out by HTTP."""
    identity: IdentityConfig = IdentityConfig()
    """Whose event it is: the rules of the person graph."""
    logs: LogsConfig = LogsConfig()
    """What the process says."""
    sources: dict[str, SourceConfig] = {}
    """Who may send."""
    destinations: dict[str, DestinationConfig] = {}
    """Where events go."""

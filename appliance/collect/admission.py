"""Who may send: write keys, rates, origins, and whose word on the client's address counts."""

import base64
import binascii
import hashlib
import hmac
import ipaddress
import math
import os
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qs

from appliance.core.config import SourceConfig
from appliance.core.pauses import Pauses
from appliance.core.rates import FIVE_MINUTES, PER_SECOND, Recent
from appliance.core.units import parse_moment
from appliance.wal.types import Appended

_ALWAYS_MS = 1 << 62
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Source:
    """One configured source, with what has come of it since the start of the process.

    Counters are written on the collector's loop alone; `status` may read them from any thread.
    """

    def __init__(self, name: str, config: SourceConfig) -> None:
        self.name = name
        self.requests_total = self.bytes_total = self.last_received_ms = 0
        self.accepted_total = self.duplicates_total = self.refused_total = self.repaired_total = 0
        self.limited_total = 0
        self.paused = False
        self.accepted_recent, self.refused_recent = Recent(*PER_SECOND), Recent(*FIVE_MINUTES)
        self.configure(config)

    def configure(self, config: SourceConfig) -> None:
        """Take a new configuration; the counters stay."""
        self.config = config
        self.key = config.write_key.reveal()
        self.enabled, self.webhook = config.enabled, config.webhook
        self.origins = frozenset(origin.lower() for origin in config.origins)
        rate_per_s = config.rate_per_s
        self.bucket = Bucket(rate_per_s) if rate_per_s else None
        until = parse_moment(config.previous_write_key_until)
        self.previous_key = config.previous_write_key.reveal() if config.previous_write_key else ""
        self.previous_until_ms = int(until.timestamp() * 1000) if until else _ALWAYS_MS

    def kept(self, outcome: Appended, repaired: int, now_ms: int) -> None:
        """Events were made durable."""
        self.accepted_total += outcome.accepted
        self.duplicates_total += outcome.duplicates
        self.repaired_total += repaired
        self.accepted_recent.add(outcome.accepted, now_ms)

    def refused(self, count: int, now_ms: int) -> None:
        """Input was refused."""
        self.refused_total += count
        self.refused_recent.add(count, now_ms)

    def allows(self, origin: str) -> bool:
        """Whether pages of this origin may send."""
        return not self.origins or origin.lower() in self.origins


class Sources:
    """All sources by name and by write key."""

    def __init__(self, config: Mapping[str, SourceConfig], pauses: Pauses) -> None:
        self._salt, self._pauses = os.urandom(16), pauses
        self._by_digest: dict[bytes, tuple[Source, str, int]] = {}
        self.by_name: dict[str, Source] = {}
        self.apply(config)

    def apply(self, config: Mapping[str, SourceConfig]) -> None:
        """Take a new configuration; a source that keeps its name and its configuration keeps its rate's state too."""
        kept = self.by_name
        self.by_name = {}
        for name, source_config in config.items():
            source = kept.get(name)
            if source is None:
                source = Source(name, source_config)
            elif source.config != source_config:
                source.configure(source_config)
            source.paused = name in self._pauses
            self.by_name[name] = source
        keys = [(one, one.previous_key, one.previous_until_ms) for one in self.by_name.values() if one.previous_key]
        keys += [(one, one.key, _ALWAYS_MS) for one in self.by_name.values()]
        self._by_digest = {self._digest(key): (source, key, until_ms) for source, key, until_ms in keys}

    def set_paused(self, name: str, paused: bool) -> None:
        """Have a source refuse everything for now, or no longer; any thread, blocking.

        Raises:
            KeyError: no such source.
            OSError: the pause cannot be kept; nothing has changed.
        """
        source = self.by_name[name]
        self._pauses.set(name, paused)
        source.paused = paused

    def by_key(self, key: str, now_ms: int) -> Source | None:
        """The source with this write key; the time taken tells nothing about any key.

        Found by a digest under a salt of this process, then compared in constant time.

        Args:
            now_ms: wall time: a key that was replaced ends at a time of its own.
        """
        source, own, until_ms = self._by_digest.get(self._digest(key), (None, "", 0))
        if source is None or not hmac.compare_digest(_bytes(own), _bytes(key)) or now_ms >= until_ms:
            return None
        return source

    def allow(self, origin: str) -> bool:
        """Whether pages of this origin may send to any source; for requests that do not say to which."""
        return any(source.allows(origin) for source in self.by_name.values())

    def _digest(self, key: str) -> bytes:
        return hashlib.blake2b(_bytes(key), digest_size=16, key=self._salt).digest()


class Bucket:
    """A rate with a burst of one second, time from outside."""

    def __init__(self, rate_per_s: float) -> None:
        self._rate_per_s, self._burst = rate_per_s, max(1.0, rate_per_s)
        self._tokens, self._at_ms = self._burst, 0

    def take(self, now_ms: int) -> int:
        """0: go on. Else the seconds to wait, rounded up; nothing was taken.

        Args:
            now_ms: monotonic.
        """
        if self._at_ms:
            self._tokens = min(self._burst, self._tokens + (now_ms - self._at_ms) / 1000 * self._rate_per_s)
        self._at_ms = now_ms
        if self._tokens >= 1:
            self._tokens -= 1
            return 0
        return max(1, math.ceil((1 - self._tokens) / self._rate_per_s))


def key_of_header(authorization: str) -> str:
    """The write key of an Authorization header: the user name of HTTP Basic; "" where it holds none."""
    if authorization[:6].lower() != "basic ":
        return ""
    try:
        decoded = base64.b64decode(authorization[6:].strip(), validate=True)
        return decoded.partition(b":")[0].decode("ascii")
    except (binascii.Error, ValueError):
        return ""


def key_of_query(query: str) -> str:
    """The `writeKey` of a query string; "" where it holds none."""
    if "riteKey=" not in query:
        return ""
    try:
        return parse_qs(query, max_num_fields=200).get("writeKey", [""])[0]
    except ValueError:
        return ""


class Proxies:
    """Whose X-Forwarded-For is believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks: list[Network] = [ipaddress.ip_network(network, strict=False) for network in networks]

    def trusts(self, peer: str) -> bool:
        """Whether the other end of the connection is a trusted proxy."""
        if not self._networks or not peer:
            return False
        address = ipaddress.ip_address(peer)
        return any(address in network for network in self._networks if network.version == address.version)


def client_address(peer: str, forwarded_for: str) -> str:
    """The first entry of a trusted X-Forwarded-For where it is an address (with or without a port), else the peer."""
    first = forwarded_for.partition(",")[0].strip()
    if first.startswith("["):
        first = first[1:].partition("]")[0]
    elif first.count(":") == 1:
        first = first.partition(":")[0]
    return plain_address(first) or peer


def plain_address(text: str) -> str:
    """An IP address in its usual form, an IPv4 address in IPv6 clothes as IPv4; "" for anything else."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return ""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")

"""Who may come in by the browser, for how long and how often one may try; pure: time and randomness come from outside.

    token or ticket  ->  session (a cookie's random value, kept here as its hash)  ->  page and terminal

A session ends twelve hours after it began, and one hour after the last key pressed in it.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

SESSION_MS = 12 * 3_600_000
IDLE_MS = 3_600_000
TICKET_MS = 600_000
SESSIONS_MAX = 64
"""Beyond it the one that idled longest is signed out."""
TICKETS_MAX = 16
"""Beyond it the oldest is void."""
WRONG_MAX = 10
"""Wrong tokens from one address within `WRONG_MS`; then it waits."""
WRONG_MS = 60_000
ADDRESSES_MAX = 1024
Fresh = Callable[[], str]
"""A new random text of at least 256 bits."""


@dataclass(slots=True)
class Session:
    """One browser that came in."""

    token: str
    """The token it came in with; its terminals act with it."""
    began_ms: int
    seen_ms: int

    def over(self, now_ms: int) -> bool:
        """Whether it has ended by age or idling."""
        return now_ms - self.began_ms >= SESSION_MS or now_ms - self.seen_ms >= IDLE_MS


class Sessions:
    """The open sessions, by the hash of what their cookies hold: looking one up tells nothing by its time."""

    def __init__(self, fresh: Fresh) -> None:
        self._fresh = fresh
        self._open: dict[bytes, Session] = {}

    def begin(self, token: str, now_ms: int) -> str:
        """Open one; returns what its cookie holds."""
        self._sweep(now_ms)
        while len(self._open) >= SESSIONS_MAX:
            del self._open[min(self._open, key=lambda one: self._open[one].seen_ms)]
        value = self._fresh()
        self._open[_hash(value)] = Session(token, now_ms, now_ms)
        return value

    def find(self, value: str, now_ms: int) -> Session | None:
        """The session of a cookie; None where there is none or it is over."""
        self._sweep(now_ms)
        return self._open.get(_hash(value)) if value else None

    def end(self, value: str) -> Session | None:
        """Sign out; returns the session that was."""
        return self._open.pop(_hash(value), None)

    def _sweep(self, now_ms: int) -> None:
        self._open = {key: one for key, one in self._open.items() if not one.over(now_ms)}


class Tickets:
    """Links that let one browser in, once, within ten minutes."""

    def __init__(self, fresh: Fresh) -> None:
        self._fresh = fresh
        self._issued: dict[bytes, tuple[int, str]] = {}

    def issue(self, token: str, now_ms: int) -> str:
        """A new ticket; who comes in by it has the rights of this token."""
        self._issued = {key: one for key, one in self._issued.items() if one[0] > now_ms}
        while len(self._issued) >= TICKETS_MAX:
            del self._issued[next(iter(self._issued))]
        value = self._fresh()
        self._issued[_hash(value)] = now_ms + TICKET_MS, token
        return value

    def redeem(self, value: str, now_ms: int) -> str | None:
        """The token that it stands for, where it lets in; it never does again."""
        until_ms, token = self._issued.pop(_hash(value), (0, ""))
        return token if until_ms > now_ms else None


class WrongTries:
    """Counts wrong tokens by address, so that nobody hammers at the door."""

    def __init__(self) -> None:
        self._tries: dict[str, tuple[int, int]] = {}

    def add(self, address: str, now_ms: int) -> None:
        """One more wrong token."""
        count, until_ms = self._tries.pop(address, (0, 0))
        if until_ms <= now_ms:
            count, until_ms = 0, now_ms + WRONG_MS
        if len(self._tries) >= ADDRESSES_MAX:
            del self._tries[next(iter(self._tries))]
        self._tries[address] = (count + 1, until_ms)

    def wait_ms(self, address: str, now_ms: int) -> int:
        """For how long this address must wait; 0: it may try."""
        count, until_ms = self._tries.get(address, (0, 0))
        return max(0, until_ms - now_ms) if count >= WRONG_MAX else 0


def origin_matches(origin: str | None, host: str | None, *, tls: bool) -> bool:
    """Whether a request comes from a page of our own: its Origin names the very host that was called.

    Behind a proxy that ends TLS, Origin is https while we are called by http; the other way round never happens.

    Args:
        origin: as sent; a browser sends it with every POST of a form and every WebSocket, so none is no page of ours.
        host: the Host header.
        tls: whether we are called by https.
    """
    try:
        parts = urlsplit(origin or "")
    except ValueError:
        return False
    schemes = ("https",) if tls else ("http", "https")
    # The very text of an origin: no user, path or query may hide behind a host that matches.
    same = bool(host) and origin == f"{parts.scheme}://{parts.netloc}" and parts.netloc.lower() == (host or "").lower()
    return same and parts.scheme in schemes


def _hash(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).digest()

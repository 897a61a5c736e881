"""A crowd with log-ins: people by number, their ids and events all drawn from a seed, so that millions cost no memory.

A person has one userId and an anonymousId; 40 % have a second one (another browser, half of them were there before the
log-in), 30 % an e-mail address in their traits, 20 % a device that comes with their last anonymousId: 2.9 ids on average.
Their first event is anonymous, the second logs in, further ones bring the rest (`life`). Later they are seen with one of
their anonymousIds, seven times in ten logged in (`visit`).
"""

import hashlib
import random
import re
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from appliance.core.event import Record
from tests.bench.corpus import SEED, Corpus

SECOND_BROWSER, EMAIL, DEVICE, LOGGED_IN = 0.4, 0.3, 0.2, 0.7
NEW = 0.25
"""Of the endless stream of `events`, what is of the lives of ever new people; the rest is of those known."""
LIVES = 64
"""So many new people at once."""
MIX = (
    f"one userId, one anonymousId, {SECOND_BROWSER:.0%} of people a second one, {EMAIL:.0%} an e-mail, {DEVICE:.0%} a device; "
    f"{LOGGED_IN:.0%} of later events logged in"
)
_TAIL = re.compile(rb'",\s*"userId":"[^"]*","context":\{"traits":\{\},(.*)', re.DOTALL)


class Person(NamedTuple):
    """All ids of one; "" for what they do not have."""

    user_id: str
    anonymous_ids: list[str]
    email: str
    device_id: str
    was_there: bool
    """The second browser was seen before its log-in."""

    @property
    def ids(self) -> list[tuple[str, str]]:
        """(type, value) of each."""
        named = [("user_id", self.user_id), ("email", self.email), ("device_id", self.device_id)]
        return [(type, value) for type, value in named if value] + [("anonymous_id", one) for one in self.anonymous_ids]


class Visit(NamedTuple):
    """One event: with which ids it comes; `type` is that of the record, clients of the bench post every event as a track."""

    anonymous_id: str
    user_id: str = ""
    email: str = ""
    device_id: str = ""
    type: str = "track"


class Crowd:
    """Draws people and their events.

    Args:
        known: people 0 to `known` - 1 are known; the endless stream begins new lives behind them.
        seed: of the people: the same number is the same person in every crowd of this seed.
        draw: of who comes when, and of the messageIds.
    """

    def __init__(self, known: int = 0, seed: int = SEED, draw: int = 0) -> None:
        self.people, self.seed = known, seed
        self._random = random.Random(f"{seed}/{known}/{draw}")
        self._key = seed.to_bytes(8, "big")
        self._templates = [_cut(*template) for template in Corpus(1, seed).templates]

    def person(self, number: int) -> Person:
        """The same for the same number and seed, always."""
        bits = hashlib.blake2b(number.to_bytes(8, "big"), key=self._key, digest_size=64).digest()
        chance = [byte / 256 for byte in bits[48:52]]
        browsers = [_uuid(bits[:16])] + ([_uuid(bits[16:32])] if chance[0] < SECOND_BROWSER else [])
        return Person(
            f"user-{number:08}",
            browsers,
            f"{bits[52:56].hex()}.{number}@example.test" if chance[1] < EMAIL else "",
            bits[32:40].hex() if chance[2] < DEVICE else "",
            chance[3] < 0.5,
        )

    def life(self, number: int) -> list[Visit]:
        """The events that bring all ids of a person, in order."""
        person = self.person(number)
        first, last = person.anonymous_ids[0], person.anonymous_ids[-1]
        app = person.device_id if last == first else ""
        found = [Visit(first, device_id=app), Visit(first, person.user_id, person.email, app, "identify")]
        if last != first:
            if person.was_there:
                found.append(Visit(last, device_id=person.device_id))
            found.append(Visit(last, person.user_id, person.email, person.device_id))
        return found

    def visit(self, number: int) -> Visit:
        """A later event of a person."""
        person, rng = self.person(number), self._random
        one = rng.choice(person.anonymous_ids)
        app = person.device_id if one == person.anonymous_ids[-1] else ""
        return Visit(one, person.user_id, person.email, app) if rng.random() < LOGGED_IN else Visit(one, device_id=app)

    def visits(self, count: int) -> list[Visit]:
        """Events of people drawn from all that are known."""
        return [self.visit(self._random.randrange(self.people)) for _ in range(count)]

    def stream(self) -> Iterator[Visit]:
        """Without end: ever new people among the known ones."""
        rng, lives, born = self._random, deque[deque[Visit]](), self.people
        while True:
            if self.people and rng.random() >= NEW:
                yield self.visit(rng.randrange(self.people))
                continue
            if len(lives) < LIVES:
                lives.append(deque(self.life(born)))
                born += 1
            life = lives[0]
            lives.rotate(-1)
            yield life.popleft()
            if not life:
                lives.remove(life)
                self.people += 1

    def events(self) -> Iterator[tuple[str, bytes]]:
        """Pairs of messageId and JSON bytes, without end."""
        for visit in self.stream():
            yield self.event(visit)

    def event(self, visit: Visit) -> tuple[str, bytes]:
        """One event as an SDK writes it, with a messageId of its own."""
        message_id = _uuid(self._random.randbytes(16))
        head, middle, tail = self._random.choice(self._templates)
        email = b'"email":"%b"' % visit.email.encode() if visit.email else b""
        device = b'"device":{"id":"%b"},' % visit.device_id.encode() if visit.device_id else b""
        ids = b'%b","userId":"%b","context":{"traits":{%b},%b' % (
            visit.anonymous_id.encode(),
            visit.user_id.encode(),
            email,
            device,
        )
        return message_id, b"".join((head, message_id.encode(), middle, ids, tail))

    def record(self, visit: Visit, sequence: int, received_ms: int) -> Record:
        """One event as the log keeps it."""
        message_id, raw = self.event(visit)
        return Record(
            sequence,
            "web",
            received_ms,
            "127.0.0.1",
            "track",
            visit.anonymous_id,
            visit.user_id,
            message_id,
            "",
            0,
            raw,
        )


def _uuid(bits: bytes) -> str:
    digits = bits.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _cut(head: bytes, middle: bytes, tail: bytes) -> tuple[bytes, bytes, bytes]:
    """A template without the ids that stand in its tail."""
    found = _TAIL.fullmatch(tail)
    assert found, tail
    return head, middle, found[1]

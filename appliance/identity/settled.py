"""Whose a sighting is of which nothing is left to decide: kept in a few bytes, so that most events ask SQLite nothing.

Two arrays of 64-bit numbers, in buckets of `WAYS`: at a key's place its person. A full bucket gives up one of its
keys, and a table that is half full is begun again, larger, until it has its greatest size; whatever is forgotten is
read anew.
"""

import hashlib
import struct
from array import array
from collections.abc import Iterable

from appliance.identity.rules import Id

WAYS, GROWTH = 4, 4
SIGHTINGS_MIN, SIGHTINGS_MAX = 1 << 12, 1 << 21
"""Places of the table: 16 bytes each, so 64 KiB at first and 32 MiB at most."""
MOVED_MAX = 1 << 12
"""So many people may have changed, and an eighth of the places, before the table is begun again: 100 bytes each."""

Key = tuple[int, int]
"""(number that finds the bucket, number that is compared)."""
_KEY = struct.Struct("<QQ").unpack


class Settled:
    """Sighting -> person; may forget anything at any time, and never tells a wrong person.

    Args:
        secret: nobody outside can make two sightings meet.
        places_max: a power of two.
    """

    def __init__(self, secret: bytes, places_max: int = SIGHTINGS_MAX) -> None:
        self._secret, self._places_max = secret, places_max
        self._moved: dict[int, int] = {}
        """What became of people since the table was begun: merged into another, or 0 where it must be read anew."""
        self._begin(min(SIGHTINGS_MIN, places_max))

    def _begin(self, places: int) -> None:
        self._keys, self._people = array("Q", bytes(8 * places)), array("Q", bytes(8 * places))
        self._mask, self._used = (places - 1) & ~(WAYS - 1), 0
        self._moved.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._begin(len(self._keys))

    def key(self, ids: Iterable[Id], day: int) -> Key:
        """Of these ids, in this order, on this day (since 1970): each day has to be noted once with its ids."""
        text = "\0".join([f"{one.type}\0{one.value}" for one in ids])
        digest = hashlib.blake2b(f"{day}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16, key=self._secret)
        found: Key = _KEY(digest.digest())
        return found

    def get(self, key: Key) -> int:
        """The person; 0 where it is not known here."""
        start = key[0] & self._mask
        bucket = self._keys[start : start + WAYS]
        if key[1] not in bucket:
            return 0
        person, moved = self._people[start + bucket.index(key[1])], self._moved
        while person in moved:
            person = moved[person]
        return person

    def put(self, key: Key, person: int) -> None:
        """Nothing is left to decide of this sighting: it is of this person, or of who they become."""
        start = key[0] & self._mask
        bucket = self._keys[start : start + WAYS]
        if key[1] in bucket:
            at = start + bucket.index(key[1])
        elif 0 in bucket:
            at = start + bucket.index(0)
            self._used += 1
        else:
            at = start + (key[1] >> 1) % WAYS
        self._keys[at], self._people[at] = key[1], person
        if self._used > len(self._keys) // 2 and len(self._keys) < self._places_max:
            self._begin(min(GROWTH * len(self._keys), self._places_max))

    def merged(self, loser: int, winner: int) -> None:
        """The loser is the winner from now on."""
        self._moved.setdefault(loser, winner)
        self._bound()

    def parted(self, person: int) -> None:
        """Who was this person may be another now."""
        self._moved[person] = 0
        self._bound()

    def _bound(self) -> None:
        if len(self._moved) > max(MOVED_MAX, len(self._keys) // 8):
            self.clear()

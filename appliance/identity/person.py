"""Numbers and names of people: where a person was minted is who they are.

    number, 62 bits:  5 bits log | 41 bits sequence | 16 bits ordinal
    name:             a UUID of version 8: 60 bits of a digest of (log id, number), then the number

So a name is the same whenever the log is read again, and tells the number without a table.
"""

import hashlib
import uuid
from functools import lru_cache

SEQUENCE_BITS, ORDINAL_BITS = 41, 16
LOGS_MAX = 1 << 5
SEQUENCES_MAX = 1 << SEQUENCE_BITS
ORDINALS_MAX = 1 << ORDINAL_BITS
_NUMBER_MASK = (1 << 62) - 1


def place_of(log: int, sequence: int) -> int:
    """The place of an event: it is below that of every later one, in this log and in those that follow it."""
    assert 0 <= log < LOGS_MAX and 0 <= sequence < SEQUENCES_MAX
    return log << SEQUENCE_BITS | sequence


def sequence_of(place: int) -> int:
    """The event's sequence in its log."""
    return place & (SEQUENCES_MAX - 1)


def number_of(place: int, ordinal: int) -> int:
    """The number of the person, merge or split that came `ordinal`th at this place."""
    assert 0 <= ordinal < ORDINALS_MAX
    return place << ORDINAL_BITS | ordinal


def minted_at(number: int) -> int:
    """The place where this person, merge or split came about."""
    return number >> ORDINAL_BITS


def merge_text(merge: int) -> str:
    """How people call a merge: the sequence of the event that made it, `.n` where that made several, `log:` before it
    where it was not the first log."""
    place, ordinal = minted_at(merge), merge & (ORDINALS_MAX - 1)
    log = place >> SEQUENCE_BITS
    return f"{f'{log}:' if log else ''}{sequence_of(place)}{f'.{ordinal}' if ordinal else ''}"


def merge_number(text: str) -> int:
    """The merge that people call so.

    Raises:
        ValueError: nothing is called so.
    """
    log, _, rest = text.rpartition(":")
    sequence, _, ordinal = rest.partition(".")
    numbers = [part or "0" for part in (log, sequence, ordinal)]
    if not sequence or not all(part.isascii() and part.isdecimal() for part in numbers):
        raise ValueError(f"{text!r} is no merge")
    first, second, third = map(int, numbers)
    if first >= LOGS_MAX or second >= SEQUENCES_MAX or third >= ORDINALS_MAX:
        raise ValueError(f"{text!r} is no merge")
    return number_of(place_of(first, second), third)


class Names:
    """Numbers to names and back, for the logs that a graph has read.

    Args:
        log_ids: of each log, by its number; what stands behind a space tells logs of one id apart.
    """

    def __init__(self, log_ids: list[str]) -> None:
        self._log_ids = log_ids
        self.text = lru_cache(maxsize=4096)(self._text)
        """The name of a person, given the number."""

    def _text(self, number: int) -> str:
        log_id = self._log_ids[minted_at(number) >> SEQUENCE_BITS].partition(" ")[0]
        digest = hashlib.blake2b(b"%s %d" % (log_id.encode(), number), digest_size=8).hexdigest()
        low = f"{(1 << 63) | number:016x}"
        return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-{low[:4]}-{low[4:]}"

    def number(self, text: str) -> int | None:
        """The number of the person with this name; None where no person of these logs can have it."""
        try:
            number = uuid.UUID(text).int & _NUMBER_MASK
        except ValueError:
            return None
        known = minted_at(number) >> SEQUENCE_BITS < len(self._log_ids)
        return number if known and self.text(number) == text.lower() else None

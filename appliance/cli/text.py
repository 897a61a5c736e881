"""Text for terminals and times from people: what came from events is shown harmless, ages and moments in words."""

import time
import unicodedata
from datetime import UTC, datetime

from appliance.cli.output import CommandError
from appliance.core.units import parse_seconds

CHARACTERS_MAX = 200


def plain(text: object, most: int = CHARACTERS_MAX) -> str:
    """One harmless line: control codes, line breaks and marks that change the reading direction become escapes."""
    shown = _inert(str(text)[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def _inert(text: str) -> str:
    return "".join(character.encode("unicode_escape").decode() if _acts(character) else character for character in text)


def _acts(character: str) -> bool:
    """Whether a terminal might act on it, or cannot show it."""
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp")


def lines(text: str) -> str:
    """As `plain`, with line breaks kept and no length limit; for samples and payloads."""
    return "\n".join(_inert(line) for line in text.replace("\r\n", "\n").split("\n"))


def age(age_ms: float) -> str:
    """`0.4 s`, `12 s`, `3 min`, `5.2 h`, `4.0 d`."""
    seconds = max(0.0, age_ms / 1000)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"


def ago(moment_ms: int, now_ms: int) -> str:
    """`3 min ago`, or `never`."""
    return f"{age(now_ms - moment_ms)} ago" if moment_ms else "never"


def moment(moment_ms: int) -> str:
    """RFC 3339, UTC, milliseconds; `-` for 0."""
    if not moment_ms:
        return "-"
    return datetime.fromtimestamp(moment_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def size(count: int) -> str:
    """`512 B`, `1.5 KiB`, `4.0 GiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def count(number: int, one: str, many: str = "") -> str:
    """`1 event`, `1,234 events`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def parse_moment(text: str, now_ms: int | None = None) -> int:
    """Milliseconds since 1970 of `now`, `2h`, `2h ago`, `2030-01-31`, `2030-01-31T12:00:00Z`; without an offset: UTC.

    Raises:
        CommandError: it is none of them (exit code 2).
    """
    now_ms = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    words = text.strip()
    if words == "now":
        return now_ms
    try:
        return now_ms - round(parse_seconds(words.removesuffix("ago").strip()) * 1000)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(words)
    except ValueError:
        raise CommandError(
            f'"{text}" is no time', 'write "2h ago", "2h", "now" or RFC 3339 such as 2030-01-31T12:00:00Z', 2
        ) from None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)

"""Text for the screen: what came from events is made inert; ages, sizes and counts in words. Pure.

Everything that is shown goes through `inert`, `line` or `block`: control codes and marks that turn the reading
direction become visible escapes, and the result is a `rich.text.Text`, whose square brackets nobody reads as markup.
"""

import json
import unicodedata
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich.text import Text

CHARACTERS_MAX = 400
BLOCK_CHARACTERS_MAX = 64 * 1024
_EIGHTHS = " ▏▎▍▌▋▊▉"
_BARS = "▁▂▃▄▅▆▇█"


def inert(text: object, most: int = CHARACTERS_MAX) -> str:
    """One harmless line: whatever a terminal might act on stands there as an escape.

    Args:
        most: characters of `text` that are shown; one more than that ends in an ellipsis.
    """
    given = str(text)
    if len(given) <= most and given.isprintable():
        return given  # Nearly always; nothing printable acts.
    shown = "".join(_escaped(character) for character in given[:most])
    return shown if len(given) <= most else shown[: most - 1] + "…"


def line(text: object, style: str = "", most: int = CHARACTERS_MAX) -> Text:
    """As `inert`, as a cell that does not wrap."""
    return Text(inert(text, most), style=style, no_wrap=True, overflow="ellipsis", end="")


def block(text: str, style: str = "", most: int = BLOCK_CHARACTERS_MAX) -> Text:
    """Many harmless lines, for payloads and samples; what is beyond `most` characters is counted."""
    kept = text[:most].replace("\r\n", "\n").expandtabs(4)
    shown = "\n".join(inert(one, len(one)) if one else "" for one in kept.split("\n"))
    if len(text) > most:
        shown += f"\n… {len(text) - most:,} characters more"
    return Text(shown, style=style)


def pretty(raw: bytes) -> str:
    """JSON laid out for reading, every number and string as it came; "" for null."""
    if raw.strip() == b"null":
        return ""
    return msgspec.json.format(raw, indent=2).decode("utf-8", "replace")


def json_escaped(laid_out: str) -> str:
    """JSON in which whatever a terminal might act on stands as a JSON escape; line breaks are its layout."""
    return "".join(
        character if character == "\n" or not _acts(character) else json.dumps(character)[1:-1]
        for character in laid_out
    )


def value(given: Any) -> str:
    """A configured value in one line."""
    return inert(given if isinstance(given, str) else json.dumps(given, ensure_ascii=False))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode() if _acts(character) else character


def _acts(character: str) -> bool:
    """Whether a terminal might act on it, or cannot show it."""
    category = unicodedata.category(character)
    return category[0] == "C" or category in ("Zl", "Zp")


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


def ahead(moment_ms: int, now_ms: int) -> str:
    """`in 12 s`, `now`, or `-` where nothing is planned."""
    if not moment_ms:
        return "-"
    return f"in {age(moment_ms - now_ms)}" if moment_ms > now_ms else "now"


def clock(moment_ms: int) -> str:
    """Time of day, UTC; `-` for 0."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%H:%M:%S") if moment_ms else "-"


def moment(moment_ms: int) -> str:
    """Date and time, UTC; `-` for 0."""
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if moment_ms else "-"


def size(count: float) -> str:
    """`512 B`, `1.5 KiB`, `4.0 GiB`."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def number(count: float) -> str:
    """`999`, `12,345`, `1.23 M`, `4.56 G`: at most seven characters."""
    if count < 1_000_000:
        return f"{count:,.0f}"
    return f"{count / 1e6:.2f} M" if count < 1e9 else f"{count / 1e9:.2f} G"


def rate(per_s: float) -> str:
    """`0`, `0.4`, `12`, `20,300`: events per second."""
    return "0" if per_s <= 0 else f"{per_s:.1f}" if per_s < 10 else number(per_s)


def took(took_ms: float) -> str:
    """`0.3 ms`, `12 ms`, `1.4 s`; `-` where nothing was measured."""
    if took_ms <= 0:
        return "-"
    if took_ms < 1000:
        return f"{took_ms:.1f} ms" if took_ms < 10 else f"{took_ms:.0f} ms"
    return f"{took_ms / 1000:.1f} s"


def counted(count: int, one: str, many: str = "") -> str:
    """`1 event`, `1,234 events`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def gauge(share: float, width: int) -> str:
    """A bar of `width` characters, filled from the left."""
    share = min(1.0, max(0.0, share))
    eighths = round(share * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (_EIGHTHS[rest] if rest else "")).ljust(width)


def spark(values: list[float], width: int) -> str:
    """The last `width` values as a line of bars; the highest of them is full height, nothing stays at the ground."""
    shown = values[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return (_BARS[0] * len(shown)).rjust(width)
    bars = (_BARS[min(7, int(value / top * 7.999))] if value > 0 else _BARS[0] for value in shown)
    return "".join(bars).rjust(width)


def request_and_answer(sample: str) -> tuple[str, str]:
    """A sample's two halves: what was sent, what came back; a sample that has no answer's first line is all answer."""
    for mark in ("\n\nHTTP/", "\n\n(no reply)"):
        at = sample.find(mark)
        if at >= 0:
            return sample[:at], sample[at + 2 :]
    return "", sample

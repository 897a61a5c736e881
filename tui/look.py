"""How states look: a glyph, a word and a colour each, so that none of the three is needed alone. Pure."""

from typing import NamedTuple

from rich.text import Text

from tui.text import inert


class Look(NamedTuple):
    """A state's glyph, colour (of the theme, by name) and how ill it is: 0 well, 3 worst."""

    glyph: str
    colour: str
    illness: int


LOOKS = {
    "running": Look("●", "success", 0),
    "well": Look("●", "success", 0),
    "clear": Look("●", "success", 0),
    "succeeded": Look("✓", "success", 0),
    "done": Look("✓", "success", 0),
    "collected": Look("·", "muted", 0),
    "processed": Look("·", "muted", 0),
    "filtered": Look("·", "muted", 0),
    "skipped": Look("·", "muted", 0),
    "disabled": Look("○", "muted", 0),
    "parked": Look("○", "muted", 0),
    "paused": Look("‖", "accent", 1),
    "waiting": Look("◦", "accent", 1),
    "executing": Look("▸", "accent", 1),
    "held": Look("◐", "warning", 2),
    "degraded": Look("◐", "warning", 2),
    "failed": Look("◐", "warning", 2),
    "full": Look("▲", "error", 3),
    "disk_full": Look("▲", "error", 3),
    "stopped": Look("■", "error", 3),
    "open": Look("▲", "error", 3),
    "misconfigured": Look("✗", "error", 3),
    "aborted": Look("✗", "error", 3),
    "dead": Look("✗", "error", 3),
}
UNKNOWN = Look("?", "muted", 1)


class Palette(NamedTuple):
    """A theme's colours as Rich names them."""

    success: str
    warning: str
    error: str
    accent: str
    muted: str
    strong: str = "bold"


def look(state: str) -> Look:
    """How a state looks; one that nobody told us of is a question mark and its own word."""
    return LOOKS.get(state, UNKNOWN)


def state_text(state: str, palette: Palette) -> Text:
    """Glyph and word in the state's colour."""
    shown = look(state)
    return Text(f"{shown.glyph} {inert(state, 20) or 'unknown'}", style=colour(shown, palette), no_wrap=True, end="")


def colour(shown: Look, palette: Palette) -> str:
    """The colour of a look in a palette."""
    return str(getattr(palette, shown.colour))

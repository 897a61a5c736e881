"""The console's colours: a calm dark and a calm light theme, and one that keeps to the terminal's own sixteen."""

from collections.abc import Callable
from functools import cache

from textual.theme import Theme

from tui.look import Palette

DARK, LIGHT, PLAIN = "sternpost", "sternpost-light", "ansi-dark"

THEMES = (
    Theme(
        name=DARK,
        primary="#5fb3b3",
        secondary="#8fa8c0",
        accent="#7aa2d6",
        foreground="#d3d9e0",
        background="#12171d",
        surface="#171d25",
        panel="#1e2630",
        success="#7fb685",
        warning="#d9b36c",
        error="#dd7878",
        dark=True,
        variables={"footer-key-foreground": "#5fb3b3", "block-cursor-background": "#2b3a49",
                   "block-cursor-foreground": "#f0f4f8", "block-cursor-text-style": "none",
                   "block-cursor-blurred-background": "#1e2630", "border": "#5fb3b3", "border-blurred": "#2b3642"},
    ),
    Theme(
        name=LIGHT,
        primary="#1f7a7a",
        secondary="#4a6480",
        accent="#2f64a8",
        foreground="#26303a",
        background="#f7f7f4",
        surface="#efefea",
        panel="#e4e5df",
        success="#2f7d3b",
        warning="#8a6100",
        error="#b03030",
        dark=False,
        variables={"footer-key-foreground": "#1f7a7a", "block-cursor-background": "#d4dfe6",
                   "block-cursor-foreground": "#10181f", "block-cursor-text-style": "none",
                   "block-cursor-blurred-background": "#e4e5df", "border": "#1f7a7a", "border-blurred": "#cfd2ca"},
    ),
)  # fmt: skip
_MUTED = {DARK: "#7d8b99", LIGHT: "#6b7580"}


@cache
def palette_of(name: str, theme_of: Callable[[str], Theme | None]) -> Palette:
    """A theme's colours by what they mean; a theme of the terminal's own colours keeps to their names.

    Args:
        theme_of: finds a theme by its name.
    """
    theme = theme_of(name) or THEMES[0]
    if theme.name.startswith("ansi-"):
        return Palette("green", "yellow", "red", "cyan", "bright_black")
    muted = _MUTED.get(theme.name) or ("#8a8f98" if theme.dark else "#6b7075")
    return Palette(
        theme.success or "green",
        theme.warning or "yellow",
        theme.error or "red",
        theme.accent or theme.primary,
        muted,
    )

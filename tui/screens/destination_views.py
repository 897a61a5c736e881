"""What is shown of one destination, as text and rows; pure."""

from rich.text import Text

from tui import text, wire
from tui.look import Palette, state_text
from tui.widgets import Column, Row

QUEUE_COLUMNS = (
    Column("person", "Person", 10, grow=2),
    Column("events", "Events", 7, right=True),
    Column("tries", "Tries", 6, right=True),
    Column("since", "Since", 8, right=True),
    Column("next", "Next try", 10),
    Column("error", "Error", 10, grow=3),
)
ERROR_COLUMNS = (
    Column("count", "Times", 8, right=True),
    Column("last", "Last", 11),
    Column("reason", "Reason", 20, grow=1),
)
CONFIG_COLUMNS = (
    Column("key", "Key", 16, grow=1, keep_end=True),
    Column("value", "Value", 16, grow=2),
    Column("origin", "From", 9),
)


def health_text(one: wire.Destination, palette: Palette, now_ms: int) -> Text:
    """State, breaker, queue and figures, a line each."""
    shown = Text()

    def line(label: str, value: str | Text, style: str = "") -> None:
        shown.append(f"{label:<13}", palette.muted)
        shown.append_text(value if isinstance(value, Text) else Text(value, style))
        shown.append("\n")

    state = state_text(one.state, palette)
    if not one.enabled and one.state != "parked":
        state.append("  not enabled in the configuration", palette.muted)
    line("state", state)
    if one.next_step:
        line("next", text.inert(one.next_step), "bold")
    line("breaker", _breaker(one.breaker, palette, now_ms))
    oldest = text.age(one.oldest_undelivered_age_ms) if one.oldest_undelivered_age_ms else "none"
    line("oldest", f"{oldest} undelivered")
    line("behind", f"{text.counted(one.lag_events, 'event')}, {one.in_flight} on their way")
    held = f"{text.counted(one.held_events, 'event')} of {text.counted(one.held_people, 'person', 'people')}"
    line("held", held, palette.warning if one.held_people else "")
    line("delivered", f"{one.delivered_total:,}   filtered {one.filtered_total:,}")
    line("failed", f"{one.failed_total:,}   aborted {one.aborted_total:,}")
    line("latency", f"p50 {text.took(one.latency_p50_ms)}   p95 {text.took(one.latency_p95_ms)}")
    if one.hung:
        line("hung", f"{text.counted(one.hung, 'call')} that cannot be stopped", palette.error)
    if one.last_error:
        line("last error", text.inert(one.last_error), palette.warning)
    if one.sources:
        line("sources", text.inert(", ".join(one.sources)))
    shown.rstrip()
    return shown


def _breaker(breaker: wire.Breaker, palette: Palette, now_ms: int) -> Text:
    if breaker.state == "closed":
        return Text("closed", palette.success)
    shown = Text(text.inert(breaker.state, 20), palette.error)
    shown.append(f" since {text.ago(breaker.opened_ms, now_ms).removesuffix(' ago')}", palette.muted)
    shown.append(f"   next try {text.ahead(breaker.next_probe_ms, now_ms)}", "bold")
    if breaker.cause:
        shown.append(f"   {text.inert(breaker.cause)}", palette.warning)
    return shown


def queue_rows(page: wire.HeldPage, palette: Palette, now_ms: int) -> list[Row]:
    """Who waits, the longest waiting first."""
    return [
        Row(
            one.person,
            {
                "person": text.line(one.person, "bold"),
                "events": Text(text.number(one.events)),
                "tries": Text(str(one.attempts)),
                "since": Text(text.age(now_ms - one.first_failed_ms) if one.first_failed_ms else "-"),
                "next": Text(text.ahead(one.next_try_ms, now_ms)),
                "error": text.line(one.error, palette.warning),
            },
        )
        for one in page.held
    ]


def error_rows(one: wire.Destination, palette: Palette, now_ms: int) -> list[Row]:
    """Errors by kind, the latest first."""
    return [
        Row(
            kind.reason,
            {
                "count": Text(text.number(kind.count)),
                "last": Text(text.ago(kind.last_ms, now_ms), palette.muted),
                "reason": text.line(kind.reason, palette.warning),
            },
        )
        for kind in one.errors
    ]


def config_rows(name: str, settings: list[wire.Setting], palette: Palette) -> list[Row]:
    """Keys of one destination with their values, and whence; what all keys begin with is left out."""
    return [
        Row(
            one.key,
            {
                "key": text.line(one.key.removeprefix(f"destinations.{name}."), "bold"),
                "value": Text(text.value(one.value), no_wrap=True, overflow="ellipsis"),
                "origin": text.line(one.origin, palette.accent if one.origin == "file" else palette.muted),
            },
        )
        for one in settings
    ]

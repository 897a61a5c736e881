"""The dialogue that starts a replay: what range of the past, and what of it the log still holds."""

from typing import ClassVar, NamedTuple

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from tui import text, wire

_UNITS = {"m": 60, "h": 3600, "d": 86_400}


class Span(NamedTuple):
    """A range of the past, wall time."""

    from_ms: int
    to_ms: int


class AskReplay(ModalScreen[Span | None]):
    """Asks how far back to go; None for no."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "cancel")]

    def __init__(self, name: str, overview: wire.Overview, now_ms: int) -> None:
        super().__init__()
        self._name, self._log, self._now_ms = name, overview.log, now_ms

    def compose(self) -> ComposeResult:
        log = self._log
        kept = max(0, log.last_sequence - log.first_sequence + 1) if log.first_sequence else 0
        with Vertical(id="dialogue", classes="-danger"):
            yield Static(Text(f"Deliver the past to {text.inert(self._name)} again?", "bold"))
            yield Static(
                Text(
                    f"The log keeps {text.counted(kept, 'event')} at most, the oldest {text.age(log.oldest_ms)} old. "
                    "They are sent again, marked as replayed; what is sent cannot be called back."
                )
            )
            yield Static("How far back, and up to when, such as 2h, 30m or 1d; 0m is now:")
            with Horizontal(id="span"):
                yield Input("1h", id="from", compact=True)
                yield Input("0m", id="to", compact=True)
            with Horizontal(id="dialogue-buttons"):
                yield Button("Cancel  esc", id="cancel", compact=True)
                yield Button("Replay  enter", id="confirm", compact=True)

    def on_mount(self) -> None:
        self.query_one("#from").focus()

    @on(Input.Submitted)
    def action_confirm(self) -> None:
        """Yes, where both are durations and the first is the longer."""
        back_s = [seconds_of(self.query_one(f"#{name}", Input).value) for name in ("from", "to")]
        if back_s[0] is None or back_s[1] is None or back_s[0] <= back_s[1]:
            self.app.bell()
            self.notify("write durations such as 2h and 0m, the longer first", severity="warning", markup=False)
            return
        self.dismiss(Span(self._now_ms - back_s[0] * 1000, self._now_ms - back_s[1] * 1000))

    def action_cancel(self) -> None:
        """No."""
        self.dismiss(None)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "confirm":
            self.action_confirm()
        else:
            self.action_cancel()


def seconds_of(words: str) -> int | None:
    """`90`, `30m`, `2h`, `1d` in seconds; None where it is none."""
    given = words.strip().lower()
    factor = _UNITS.get(given[-1:], 1)
    digits = given[:-1] if given[-1:] in (*_UNITS, "s") else given
    return int(digits) * factor if digits.isascii() and digits.isdigit() and len(digits) < 10 else None

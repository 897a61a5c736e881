"""What the file says otherwise than the running process, before a re-load."""

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Static

from tui import text, wire
from tui.look import Palette


class ShowDiff(ModalScreen[bool]):
    """True where the file is to be re-loaded; a file with faults is never offered."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "cancel", "close"),
        Binding("enter,y", "confirm", "re-load"),
    ]

    def __init__(self, diff: wire.Diff, palette: Palette, *, reload: bool) -> None:
        super().__init__()
        self._diff, self._palette = diff, palette
        self._offered = reload and not diff.faults

    def compose(self) -> ComposeResult:
        with Vertical(id="dialogue"):
            title = "Re-load this file?" if self._offered else "What a re-load would do"
            yield Static(Text(title, "bold"), id="dialogue-title")
            with VerticalScroll(id="diff"):
                yield Static(diff_text(self._diff, self._palette), markup=False)
            with Horizontal(id="dialogue-buttons"):
                yield Button("Close  esc", id="cancel", compact=True)
                if self._offered:
                    yield Button("Re-load  y", id="confirm", compact=True)

    def on_mount(self) -> None:
        self.query_one("#diff").focus()

    def action_confirm(self) -> None:
        """Re-load."""
        if self._offered:
            self.dismiss(True)

    def action_cancel(self) -> None:
        """Leave it."""
        self.dismiss(False)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss(event.button.id == "confirm")


def diff_text(diff: wire.Diff, palette: Palette) -> Text:
    """Faults with their lines, then every key that differs: running above, file below."""
    shown = Text(f"{text.inert(diff.file)}\n\n", palette.muted)
    for fault in diff.faults:
        shown.append(
            f"✗ line {fault.line or '?'}: {text.inert(fault.key)}: {text.inert(fault.message)}\n", palette.error
        )
        if fault.hint:
            shown.append(f"    {text.inert(fault.hint)}\n", palette.muted)
    if diff.faults:
        shown.append("\nA file with faults is refused, and what runs stays in force.\n")
    for change in diff.changes:
        shown.append(text.inert(change.key), "bold")
        shown.append("  takes effect at the next start\n" if change.restart else "\n", palette.warning)
        shown.append(f"  - {text.value(change.running)}\n", palette.error)
        shown.append(f"  + {text.value(change.file)}\n", palette.success)
    if not diff.changes and not diff.faults:
        shown.append("The file says what is in force already.\n")
    shown.rstrip()
    return shown

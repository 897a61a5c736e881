"""Edits a copy of an event as JSON; what is no JSON object is not let through."""

from typing import ClassVar

import msgspec
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static, TextArea

from tui import text


class Edit(ModalScreen[str | None]):
    """The edited text, or None. Marks that would turn the reading direction stand there as JSON escapes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "keep", "done", priority=True),
        Binding("escape", "leave", "cancel", priority=True),
    ]

    def __init__(self, original: str) -> None:
        super().__init__()
        self._original = text.json_escaped(original)

    def compose(self) -> ComposeResult:
        with Vertical(id="editor"):
            yield TextArea(self._original, id="event", show_line_numbers=True, tab_behavior="indent")
            yield Static(
                Text("ctrl+s goes on, esc leaves it; messageId and the person's ids stay as they are"), id="hint"
            )

    def on_mount(self) -> None:
        self.query_one("#editor").border_title = "Edit a copy"
        self.query_one("#event").focus()

    def action_keep(self) -> None:
        """Go on, where it is a JSON object."""
        edited = self.query_one("#event", TextArea).text
        try:
            msgspec.json.decode(edited.encode(), type=dict[str, msgspec.Raw])
        except (msgspec.DecodeError, UnicodeEncodeError) as error:
            self.notify(f"this is no JSON object: {text.inert(error)}", severity="error", markup=False)
            return
        self.dismiss(edited)

    def action_leave(self) -> None:
        """Leave it as it was."""
        self.dismiss(None)

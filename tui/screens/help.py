"""The list of keys, made of the table in `tui.keys` and of the user's own."""

from collections.abc import Iterable, Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui import keys


class Help(ModalScreen[None]):
    """The keys of a screen, then those of all; any of esc, q and ? closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,question_mark", "dismiss", "close")]

    def __init__(self, page: str, keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._page, self._keymap = page, keymap

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="sheet"):
            yield Static(help_text(self._page, self._keymap), markup=False)

    def on_mount(self) -> None:
        sheet = self.query_one("#sheet")
        sheet.border_title = f"Keys: {keys.PAGES[self._page]}"
        sheet.border_subtitle = "esc closes"
        sheet.focus()


def help_text(page: str, keymap: Mapping[str, str]) -> Text:
    """Key and words, one action a line."""
    shown = Text()
    for title, some in ((keys.PAGES[page], keys.of_page(page)), ("Everywhere", keys.everywhere())):
        shown.append(f"{title}\n", "bold")
        _append(shown, some, keymap)
        shown.append("\n")
    shown.append("Lower case is reversible; UPPER CASE is irreversible and always asks first.\n", "italic")
    shown.append(f"Own keys: {keys.keys_file()}", "italic")
    return shown


def _append(shown: Text, some: Iterable[keys.Key], keymap: Mapping[str, str]) -> None:
    for key in some:
        pressed = " ".join(keys.shown_key(one.strip()) for one in keymap.get(key.name, key.key).split(","))
        shown.append(f"  {pressed:<10}", "bold red" if key.irreversible else "bold")
        shown.append(key.words)
        shown.append(f"  ({key.role})\n" if key.role else "\n", "dim")

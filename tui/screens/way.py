"""One event's whole way: from the log, the queues and the dead letters, as `sternpost trace` tells it."""

from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui import text, wire
from tui.client import ApiError, Unreachable, segment
from tui.look import Palette, state_text

if TYPE_CHECKING:
    from tui.app import Console


class Way(ModalScreen[None]):
    """Asks for the event when it opens; esc closes."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,w", "dismiss", "close")]

    def __init__(self, message_id: str) -> None:
        super().__init__()
        self._message_id = message_id

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="sheet"):
            yield Static("asking …", id="way", markup=False)

    async def on_mount(self) -> None:
        sheet = self.query_one("#sheet")
        sheet.border_title, sheet.border_subtitle = "The way of an event", "esc closes"
        sheet.focus()
        self.run_worker(self._ask())

    async def _ask(self) -> None:
        console = cast("Console", self.app)
        try:
            trace = await console.client.get(f"/v1/events/{segment(self._message_id)}", wire.Trace)
        except (ApiError, Unreachable) as error:
            shown = text.block(error.words() if isinstance(error, ApiError) else str(error))
        else:
            shown = way_text(trace, console.palette, console.now_ms())
        self.query_one("#way", Static).update(shown)


def way_text(trace: wire.Trace, palette: Palette, now_ms: int) -> Text:
    """Where it came in, and where it stands at every destination."""
    shown = Text()
    shown.append(f"{text.inert(trace.message_id)}\n\n", "bold")
    for traced in trace.events:
        event = traced.event
        shown.append(f"{text.inert(event.type)} {text.inert(event.event)}  {text.inert(event.person)}\n")
        shown.append(f"{text.inert(traced.collected)}\n\n", palette.muted)
        for standing in traced.destinations:
            shown.append_text(state_text(standing.state, palette))
            shown.append(f"  {text.inert(standing.destination)}  ", "bold")
            shown.append(f"{text.inert(standing.words)}\n")
            if standing.next_try_ms:
                shown.append(f"    next try {text.ahead(standing.next_try_ms, now_ms)}\n", palette.muted)
            if standing.sample:
                shown.append_text(text.block(standing.sample, palette.muted))
                shown.append("\n")
        shown.append("\n")
    if not trace.events:
        shown.append("no event with this id is known\n", palette.muted)
    for refused in trace.refused:
        shown.append(f"refused: {text.inert(refused.get('reason', ''))}\n", palette.error)
    return shown

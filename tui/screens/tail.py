"""Screen 2: events as they come in, leave the pipeline or are delivered."""

import asyncio
from collections import deque

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import DataTable

from tui import text, wire
from tui.client import ApiError, Unreachable, decoded_any
from tui.look import colour, look, state_text
from tui.screens.exchange import Exchange
from tui.screens.page import Page, bindings_of
from tui.screens.way import Way
from tui.widgets import ROWS_MAX, Column, Line, Row, Rows

POINTS = ("collected", "processed", "delivered")
PAINT_S = 0.5
COLUMNS = (
    Column("when", "Time", 8),
    Column("state", "State", 12),
    Column("source", "Source", 10, from_width=100),
    Column("type", "Type", 8),
    Column("event", "Event", 8, grow=2),
    Column("person", "Person", 8, grow=2),
    Column("destination", "Destination", 11, grow=1),
    Column("took", "Took", 7, right=True, from_width=140),
    Column("reason", "Reason", 10, grow=2, from_width=100),
)


class TailPage(Page):
    """The newest events on top. Moving the cursor down freezes them; `f` follows again."""

    page = "tail"
    main = "events"
    filter_hint = 'dest:crm code:500 type:track user:u1 event:"Order*" or words'
    BINDINGS = bindings_of("tail")

    def __init__(self) -> None:
        super().__init__()
        self.point = "collected"
        self._events: deque[wire.Event] = deque(maxlen=ROWS_MAX)
        self._shown: list[wire.Event] = []
        self._frozen = False
        self._left_out, self._one_in = 0, 0
        self._seen, self._changed = 0, True
        self._trouble = ""

    def compose_body(self) -> ComposeResult:
        yield Line(id="what")
        yield Rows(COLUMNS, id="events")
        yield Exchange(id="exchange")

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(PAINT_S, self._paint)

    async def fetch(self) -> None:
        """Nothing but the stream, which must be under way."""
        if not any(worker.group == "stream" and worker.is_running for worker in self.workers):
            self._stream()
        self._paint()

    def on_screen_suspend(self) -> None:
        self.unseen()

    def unseen(self) -> None:
        """A tail that nobody sees ends."""
        self.workers.cancel_group(self, "stream")

    # The stream ------------------------------------------------------------------------------------------------

    def _stream(self) -> None:
        self.run_worker(self._watch(self.point, self.filter_text), group="stream", exclusive=True)

    async def _watch(self, point: str, query: str) -> None:
        """Until the other side ends it; the next second begins anew, or later where it fails again and again."""
        payload = "" if self.desk.whoami.payloads else "0"
        try:
            self._trouble = ""
            async for frame in self.desk.client.frames("/v1/tail", point=point, query=query, payload=payload):
                self._take(frame.name, frame.data)
        except ApiError as error:
            self._trouble = " ".join(error.words().split("\n"))
            await asyncio.sleep(5.0)
        except Unreachable as error:
            self._trouble = str(error)
            await asyncio.sleep(1.0)

    def _take(self, name: str, data: bytes) -> None:
        if name in ("missed", "sampled"):
            if left_out := decoded_any(data, wire.Sampled):
                self._left_out += left_out.events + left_out.events_left_out
                self._one_in = left_out.one_in
            return
        if event := decoded_any(data, wire.Event):
            self._events.appendleft(event)
            self._seen += 1
            self._changed = True

    # Painting --------------------------------------------------------------------------------------------------

    def _paint(self) -> None:
        if not self.desk.app_focus or not self.is_current:
            return
        self._say_what()
        if self._frozen or not self._changed:
            return
        self._changed = False
        self._shown = list(self._events)
        # Rows are slots, so that events which move down change cells and never rows.
        self.table().put([Row(str(slot), self._cells(event)) for slot, event in enumerate(self._shown)])
        self._show_details()

    def _say_what(self) -> None:
        palette = self.palette
        shown = Text(" ", no_wrap=True, overflow="ellipsis")
        for point in POINTS:
            here = point == self.point
            shown.append(f" {point} ", "bold reverse" if here else palette.muted)
        shown.append(
            "  ‖ frozen" if self._frozen else "  ▸ following", palette.warning if self._frozen else palette.success
        )
        shown.append(f"  {text.counted(self._seen, 'event')}", palette.muted)
        if self._one_in > 1:
            shown.append(f"  shows 1 in {self._one_in:,}", palette.warning)
        if self._left_out:
            shown.append(f"  {text.number(self._left_out)} left out", palette.warning)
        if self.filter_text:
            shown.append(f"  filter: {text.inert(self.filter_text, 60)}", palette.accent)
        if self._trouble:
            shown.append(f"  {text.inert(self._trouble)}", palette.error)
        self.query_one("#what", Line).put(shown)

    def _cells(self, event: wire.Event) -> dict[str, Text]:
        muted, state = self.palette.muted, event.state or self.point
        to = event.destination if isinstance(event.destination, str) else ", ".join(event.destination)
        return {
            "when": Text(text.clock(event.received_ms), muted),
            "state": state_text(state, self.palette),
            "source": text.line(event.source, muted),
            "type": text.line(event.type),
            "event": text.line(event.event, "bold"),
            "person": text.line(event.person),
            "destination": text.line(to),
            "took": Text(text.took(event.took_ms)),
            "reason": text.line(event.reason, colour(look(state), self.palette)),
        }

    def _chosen(self) -> wire.Event | None:
        slot = self.table().cursor_row
        return self._shown[slot] if 0 <= slot < len(self._shown) else None

    def _show_details(self) -> None:
        event = self._chosen()
        payload, sample = (bytes(event.payload), event.sample) if event else (b"null", "")
        self.query_one("#exchange", Exchange).put(
            payload,
            sample,
            payloads=self.desk.whoami.payloads,
            hint=self._hint(event),
            muted=self.palette.muted,
        )

    def _hint(self, event: wire.Event | None) -> str:
        """What stands in place of a request or an answer that is not there."""
        if self.point != "delivered":
            return "(o: what was delivered shows it)"
        if event is not None and event.state == "succeeded":
            return "(delivered; samples are kept of failures alone. 3, then S sends a test event and tells the answer)"
        return "-"

    @on(DataTable.RowHighlighted, "#events")
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        if event.cursor_row > 0 and not self._frozen and self._shown:
            self._frozen = True
        self._say_what()
        self._show_details()

    # Keys ------------------------------------------------------------------------------------------------------

    def filtered(self) -> None:
        """The stream begins anew, filtered by the appliance."""
        self._begin()

    def action_point(self) -> None:
        """The next point to watch at."""
        self.point = POINTS[(POINTS.index(self.point) + 1) % len(POINTS)]
        self._begin()

    def _begin(self) -> None:
        self._events.clear()
        self._shown, self._frozen, self._changed = [], False, True
        self._seen = self._left_out = self._one_in = 0
        self._stream()
        self._paint()

    def action_freeze(self) -> None:
        """Freeze or follow."""
        self._frozen = not self._frozen
        if not self._frozen:
            self.table().move_cursor(row=0, animate=False)
            self._changed = True
        self._paint()

    def action_zoom(self) -> None:
        """Details alone, or beside the list."""
        self.toggle_class("-zoomed")

    def action_way(self) -> None:
        """Where the event under the cursor is."""
        event = self._chosen()
        if event and event.message_id:
            self.app.push_screen(Way(event.message_id))

    def copied(self) -> str:
        event = self._chosen()
        return text.pretty(bytes(event.payload)) or event.message_id if event else ""

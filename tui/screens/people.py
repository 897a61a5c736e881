"""Screen 4: one person by any id: identifiers, what waits behind what, recent events."""

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import DataTable

from tui import text, wire
from tui.look import state_text
from tui.screens.page import Page, bindings_of
from tui.screens.way import Way
from tui.widgets import Column, Line, Pane, Row, Rows

PEOPLE_COLUMNS = (
    Column("person", "Person", 12, grow=2),
    Column("ids", "Ids", 12, grow=3),
    Column("queues", "Waits at", 10, grow=1),
    Column("events", "Events", 8, right=True),
)
QUEUE_COLUMNS = (
    Column("state", "State", 10),
    Column("destination", "Destination", 9, grow=1),
    Column("events", "Wait", 5, right=True),
    Column("behind", "Behind", 10, grow=2),
)
EVENT_COLUMNS = (
    Column("when", "Received", 20),
    Column("type", "Type", 9),
    Column("event", "Event", 10, grow=2),
    Column("source", "Source", 9, from_width=100),
    Column("message", "messageId", 12, grow=2),
)
ASK_AGAIN_S = 5
"""A search looks through the log, so it is not repeated every second."""


class PeoplePage(Page):
    """A search that stays; the first person found is shown, or the one under the cursor."""

    page = "people"
    main = "people"
    filter_hint = "userId, anonymousId or any other id, then enter"
    BINDINGS = bindings_of("people")

    def __init__(self) -> None:
        super().__init__()
        self._found: list[wire.Person] = []
        self._asked = ""
        self._wait = 0

    def compose_body(self) -> ComposeResult:
        yield Line(id="what")
        yield Rows(PEOPLE_COLUMNS, id="people")
        with Horizontal(id="person"):
            yield Pane("identifiers", id="ids")
            yield Rows(QUEUE_COLUMNS, id="queues")
        yield Rows(EVENT_COLUMNS, id="events")

    def on_mount(self) -> None:
        super().on_mount()
        self._say_what()

    async def fetch(self) -> None:
        """The search, anew every few seconds."""
        self._wait -= 1
        if not self.filter_text or (self._asked == self.filter_text and self._wait > 0):
            return
        sought = self.filter_text
        self.query_one("#what", Line).put(self.dim(f" looking for {text.inert(sought, 80)} …"))
        found = await self.desk.client.get("/v1/people", wire.People, id=sought)
        self._asked, self._wait, self._found = sought, ASK_AGAIN_S, found.people
        self.table().put([Row(one.person, self._cells(one)) for one in found.people])
        self._show_person()

    def filtered(self) -> None:
        self._wait = 0
        if not self.filter_text:
            self._asked, self._found = "", []
            self.table().put([])
            self._show_person()

    def _cells(self, one: wire.Person) -> dict[str, Text]:
        ids = ", ".join(value for values in one.ids.values() for value in values)
        waiting = ", ".join(queue.destination for queue in one.queues if queue.state != "clear")
        return {
            "person": text.line(one.person, "bold"),
            "ids": text.line(ids),
            "queues": text.line(waiting or "nothing waits", self.palette.warning if waiting else self.palette.muted),
            "events": Text(text.number(len(one.events))),
        }

    def _say_what(self) -> None:
        if not self.filter_text:
            self.query_one("#what", Line).put(self.dim(" press / and give any id of a person"))
            return
        people = text.counted(len(self._found), "person", "people")
        shown = Text(no_wrap=True, overflow="ellipsis")
        shown.append(f" {people}", "bold")
        shown.append(f" with {text.inert(self._asked, 80)}", self.palette.muted)
        scanned = max((one.scanned_events for one in self._found), default=0)
        if scanned:
            shown.append(f"  looked through {scanned:,} events", self.palette.muted)
        if any(not one.complete for one in self._found):
            shown.append("  older ones were not looked at", self.palette.warning)
        self.query_one("#what", Line).put(shown)

    def _chosen(self) -> wire.Person | None:
        current = self.table().current
        return next((one for one in self._found if one.person == current), None)

    @on(DataTable.RowHighlighted, "#people")
    def _show_person(self) -> None:
        self._say_what()
        person = self._chosen() or wire.Person()
        shown = Text()
        for kind, values in person.ids.items():
            for number, value in enumerate(values):
                shown.append(f"{'' if number else text.inert(kind, 16):<17}", self.palette.muted)
                shown.append(f"{text.inert(value)}\n")
        shown.rstrip()
        self.query_one("#ids", Pane).put(shown)
        now_ms = self.desk.now_ms()
        self.table("queues").put([Row(one.destination, self._queue_cells(one, now_ms)) for one in person.queues])
        events = [Row(f"{one.message_id}\n{one.sequence}", self._event_cells(one)) for one in person.events]
        self.table("events").put(events)

    def _queue_cells(self, one: wire.Queue, now_ms: int) -> dict[str, Text]:
        behind = ""
        if one.head is not None:
            tries = text.counted(one.head.attempts, "try", "tries")
            behind = f"{one.head.error}, {tries}, next {text.ahead(one.head.next_try_ms, now_ms)}"
        return {
            "state": state_text(one.state, self.palette),
            "destination": text.line(one.destination, "bold"),
            "events": Text(text.number(one.events)),
            "behind": text.line(behind, self.palette.warning),
        }

    def _event_cells(self, one: wire.Event) -> dict[str, Text]:
        return {
            "when": Text(text.moment(one.received_ms), self.palette.muted),
            "type": text.line(one.type),
            "event": text.line(one.event, "bold"),
            "source": text.line(one.source, self.palette.muted),
            "message": text.line(one.message_id, self.palette.muted),
        }

    def action_way(self) -> None:
        """Where the event under the cursor of the list of events is."""
        if current := self.table("events").current:
            self.app.push_screen(Way(current.rpartition("\n")[0]))

    @on(DataTable.RowSelected, "#events")
    def _event_chosen(self) -> None:
        self.action_way()

    @on(DataTable.RowSelected, "#queues")
    async def _queue_chosen(self, event: DataTable.RowSelected) -> None:
        await self.desk.go_to_destination(str(event.row_key.value))

"""Screen 4: one person by any id: identifiers of all types, what waits behind what, recent events, merges and undo."""

from urllib.parse import quote

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import DataTable

from tui import text, wire
from tui.acting import Plan, Stake
from tui.client import ApiError, Unreachable
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
MERGE_COLUMNS = (
    Column("merge", "Merge", 7),
    Column("when", "When", 20),
    Column("by", "Joined by", 14, grow=3),
    Column("message", "messageId", 9, grow=1, from_width=100),
    Column("state", "State", 8, grow=2),
)
IDS_NAMED = 4
"""Ids of each person that a question names."""
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
        self._wait = self._scanned = 0
        self._complete = True
        self._detail = wire.PersonDetail()
        self._is_stale = False
        """Whether what is known of a person is from before the last search; it stands until there is newer."""

    def compose_body(self) -> ComposeResult:
        yield Line(id="what")
        yield Rows(PEOPLE_COLUMNS, id="people")
        with Horizontal(id="person"):
            yield Pane("identifiers", id="ids")
            yield Rows(QUEUE_COLUMNS, id="queues")
        yield Rows(EVENT_COLUMNS, id="events")
        yield Rows(MERGE_COLUMNS, id="merges")

    def on_mount(self) -> None:
        super().on_mount()
        self._say_what()

    async def fetch(self) -> None:
        """The search, anew every few seconds; all of the person under the cursor."""
        self._wait -= 1
        if not self.filter_text:
            return
        if self._asked != self.filter_text or self._wait <= 0:
            await self._search(self.filter_text)
        person = self._chosen()
        if person is not None and person.ids_total and (self._is_stale or self._detail.person != person.person):
            path = f"/v1/people/{quote(person.person, safe='')}"
            self._detail = await self.desk.client.get(path, wire.PersonDetail)
            self._is_stale = False
            self._show_person()

    async def _search(self, sought: str) -> None:
        self.query_one("#what", Line).put(self.dim(f" looking for {text.inert(sought, 80)} …"))
        found = await self.desk.client.get("/v1/people", wire.People, id=sought)
        self._asked, self._wait, self._found = sought, ASK_AGAIN_S, found.people
        self._scanned, self._complete, self._is_stale = found.scanned_events, found.complete, True
        self.table().put([Row(one.person, self._cells(one)) for one in found.people])
        self._show_person()

    def filtered(self) -> None:
        self._wait = 0
        if not self.filter_text:
            self._asked, self._found, self._detail = "", [], wire.PersonDetail()
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
        if self._scanned:
            shown.append(f"  looked through {self._scanned:,} events", self.palette.muted)
        if not self._complete:
            shown.append("  older ones were not looked at", self.palette.warning)
        self.query_one("#what", Line).put(shown)

    def _chosen(self) -> wire.Person | None:
        current = self.table().current
        return next((one for one in self._found if one.person == current), None)

    @on(DataTable.RowHighlighted, "#people")
    def _highlighted(self) -> None:
        self._show_person()
        chosen = self._chosen()
        if chosen is not None and chosen.ids_total and self._detail.person != chosen.person:
            self.desk.refresh_soon()

    def _show_person(self) -> None:
        self._say_what()
        person = self._chosen() or wire.Person()
        detail = self._detail if self._detail.person == person.person else wire.PersonDetail()
        shown = self._members(detail) if detail.members else self._ids(person)
        shown.rstrip()
        self.query_one("#ids", Pane).put(shown)
        self.table("merges").put([Row(one.merge, self._merge_cells(one)) for one in detail.merges])
        now_ms = self.desk.now_ms()
        self.table("queues").put([Row(one.destination, self._queue_cells(one, now_ms)) for one in person.queues])
        rows = [Row(f"{one.message_id}\n{one.sequence}", self._event_cells(one)) for one in person.events]
        self.table("events").put(rows)

    def _ids(self, person: wire.Person) -> Text:
        """What was found; all that there is where there is no person graph."""
        shown = Text()
        for kind, values in person.ids.items():
            for number, value in enumerate(values):
                shown.append(f"{'' if number else text.inert(kind, 16):<17}", self.palette.muted)
                shown.append(f"{text.inert(value)}\n")
        return shown

    def _members(self, detail: wire.PersonDetail) -> Text:
        """Ids of all types, then what they were seen with and are not joined to."""
        shown, last = Text(), ""
        for one in sorted(detail.members, key=lambda member: member.type):
            shown.append(f"{'' if one.type == last else text.inert(one.type, 16):<17}", self.palette.muted)
            shown.append(text.inert(one.value or "(hidden)"))
            if one.shared:
                shown.append(f"  shared by {one.unique_ids:,}", self.palette.warning)
            shown.append("\n")
            last = one.type
        for one in detail.devices:
            shown.append(f"{'seen with':<17}", self.palette.muted)
            shown.append(f"{_words(one)}  shared by {one.unique_ids:,}\n")
        for link in detail.left_out:
            shown.append(f"{'left out':<17}", self.palette.muted)
            shown.append(f"{_words(link.other)}  {text.inert(link.reason)}\n")
        return shown

    def _merge_cells(self, one: wire.Merge) -> dict[str, Text]:
        return {
            "merge": text.line(one.merge, "bold"),
            "when": Text(text.moment(one.when_ms) if one.when_ms else "", self.palette.muted),
            "by": text.line(" = ".join(map(_words, one.ids))),
            "message": text.line(one.message_id, self.palette.muted),
            "state": text.line("holds" if one.holds else one.ended, "" if one.holds else self.palette.warning),
        }

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

    def action_swap(self) -> None:
        """Events or merges."""
        self._show_merges(not self.has_class("-merges"))

    def _show_merges(self, merges: bool) -> None:
        self.set_class(merges, "-merges")
        self.table("merges" if merges else "events").focus()

    @on(events.DescendantFocus)
    def _focused(self, event: events.DescendantFocus) -> None:
        """Where both have room, the mouse chooses the table as well."""
        if event.widget.id in ("merges", "events"):
            self.set_class(event.widget.id == "merges", "-merges")

    def action_undo(self) -> None:
        """Undo the merge under the cursor, after a look at who would be parted from whom."""
        if not self.has_class("-merges"):
            self._show_merges(True)
            self.desk.say("choose a merge, then press U again")
            return
        merge = next((one for one in self._detail.merges if one.merge == self.table("merges").current), None)
        if merge is None:
            self.desk.say("there is no merge to undo here")
        elif not merge.holds:
            self.desk.say(f"merge {text.inert(merge.merge)} holds no more: {text.inert(merge.ended)}")
        else:
            self.run_worker(self._undo(merge), group="act", exclusive=True)

    async def _undo(self, merge: wire.Merge) -> None:
        try:
            found = await self.desk.client.get("/v1/people/parting", wire.Parting, merge=merge.merge)
        except (ApiError, Unreachable) as error:
            self.desk.say_error(error)
            return
        ids = sum(len(group.ids) for group in found.people)

        async def count() -> Stake:
            return Stake(events=ids, people=len(found.people), one="id", many="ids")

        parted = "  |  ".join(map(_group, found.people))
        plan = Plan(
            title=f"Undo merge {merge.merge}?",
            consequence=f"One person becomes {text.counted(len(found.people), 'person', 'people')}: {parted}. "
            "It holds from the next event on; what was delivered stays delivered.",
            path="/v1/people/undo",
            count=count,
            verb="Undo",
            body={"merge": merge.merge},
            expecting=False,
            done=lambda done: str(done.done),
        )
        self.ask(plan)

    def acted(self) -> None:
        self._wait = 0

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


def _words(one: wire.Id) -> str:
    """`email:ann@example.com`, in one harmless line."""
    return text.inert(f"{one.type}:{one.value or '(hidden)'}", 80)


def _group(group: wire.Group) -> str:
    more = f" and {len(group.ids) - IDS_NAMED} more" if len(group.ids) > IDS_NAMED else ""
    return ", ".join(map(_words, group.ids[:IDS_NAMED])) + more

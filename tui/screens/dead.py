"""Screen 5: dead letters: filter, mark, requeue, edit a copy, export, purge."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import DataTable

from tui import text, wire
from tui.acting import Plan, Stake
from tui.client import ApiError, Unreachable
from tui.export import export_dead
from tui.screens.edit import Edit
from tui.screens.exchange import Exchange
from tui.screens.page import Page, bindings_of
from tui.screens.way import Way
from tui.widgets import ROWS_MAX, Column, Line, Row, Rows

EVERYTHING = "age:>0s"
"""A filter that all letters match; actions want one."""
COUNT_AGAIN_S = 10
MARKED_MAX = 1_000
COLUMNS = (
    Column("mark", "", 1),
    Column("when", "Dead since", 11),
    Column("destination", "Destination", 11, grow=1),
    Column("code", "Code", 5, right=True),
    Column("type", "Type", 9, from_width=100),
    Column("event", "Event", 9, grow=2),
    Column("person", "Person", 9, grow=2),
    Column("tries", "Tries", 6, right=True, from_width=100),
    Column("reason", "Reason", 10, grow=3),
)


class DeadPage(Page):
    """Actions are about all that match where all are marked, else the marked ones, else the one under the cursor."""

    page = "dead"
    main = "letters"
    filter_hint = 'dest:crm code:400 type:track user:u1 event:"Order*" age:>1h or words'
    BINDINGS = bindings_of("dead")

    def __init__(self) -> None:
        super().__init__()
        self._letters: list[wire.Dead] = []
        self._marked: set[int] = set()
        self._all = False
        self._after, self._next, self._page_number = 0, 0, 1
        self._count = wire.DeadCount()
        self._wait = 0
        self._detail: wire.Dead | None = None

    def compose_body(self) -> ComposeResult:
        yield Line(id="what")
        yield Rows(COLUMNS, id="letters")
        yield Exchange(id="exchange")

    # Asking ----------------------------------------------------------------------------------------------------

    async def fetch(self) -> None:
        """A page of letters; the count of all that match now and then."""
        client, query = self.desk.client, self.filter_text
        page = await client.get("/v1/dead", wire.DeadPage, query=query, after=self._after or "", limit=ROWS_MAX)
        self._letters, self._next = page.dead, page.after
        self._wait -= 1
        if self._wait <= 0:
            self._count = await client.get("/v1/dead/count", wire.DeadCount, query=query)
            self._wait = COUNT_AGAIN_S
        self._paint()
        await self._fetch_detail()

    async def _fetch_detail(self) -> None:
        current = self.table().current
        if not current:
            self._detail = None
        elif self._detail is None or str(self._detail.id) != current:
            try:
                self._detail = await self.desk.client.get(f"/v1/dead/{current}", wire.Dead)
            except ApiError as error:
                if error.status != 404:
                    raise
                self._detail = None  # Gone since the page was read; the next second knows.
        detail = self._detail
        self.query_one("#exchange", Exchange).put(
            bytes(detail.payload) if detail else b"null",
            detail.sample if detail else "",
            payloads=self.desk.whoami.payloads,
            hint="-",
            muted=self.palette.muted,
        )

    def _paint(self) -> None:
        now_ms = self.desk.now_ms()
        self.table().put([Row(str(one.id), self._cells(one, now_ms)) for one in self._letters])
        self._say_what(now_ms)

    def _cells(self, one: wire.Dead, now_ms: int) -> dict[str, Text]:
        marked = self._all or one.id in self._marked
        muted = self.palette.muted
        return {
            "mark": Text("◆" if marked else " ", self.palette.accent),
            "when": Text(text.ago(one.buried_ms, now_ms), muted),
            "destination": text.line(one.destination, "bold"),
            "code": Text(str(one.code or "-"), self.palette.error if one.code else muted),
            "type": text.line(one.type),
            "event": text.line(one.event),
            "person": text.line(one.person),
            "tries": Text(str(one.attempts)),
            "reason": text.line(one.reason, self.palette.warning),
        }

    def _say_what(self, now_ms: int) -> None:
        count = self._count
        shown = Text(no_wrap=True, overflow="ellipsis")
        shown.append(f" {text.counted(count.count, 'dead letter')}", "bold")
        if count.count:
            people = text.counted(count.people, "person", "people")
            shown.append(f"  of {people}, oldest {text.ago(count.oldest_ms, now_ms)}", self.palette.muted)
        if self._all:
            shown.append("  ◆ all marked", self.palette.accent)
        elif self._marked:
            shown.append(f"  ◆ {len(self._marked):,} marked", self.palette.accent)
        if self._next or self._page_number > 1:
            shown.append(f"  page {self._page_number}" + (", ] for more" if self._next else ""), self.palette.muted)
        if self.filter_text:
            shown.append(f"  filter: {text.inert(self.filter_text, 80)}", self.palette.accent)
        self.query_one("#what", Line).put(shown)

    def filtered(self) -> None:
        """Another filter: from the first page, nothing marked."""
        self._after, self._page_number, self._wait = 0, 1, 0
        self._marked.clear()
        self._all = False

    def acted(self) -> None:
        self.filtered()
        self._detail = None

    @on(DataTable.RowHighlighted, "#letters")
    def _moved(self) -> None:
        if self.table().current != str(self._detail.id if self._detail else ""):
            self.desk.refresh_soon()

    # Marks and pages -------------------------------------------------------------------------------------------

    def action_mark(self) -> None:
        """Mark the letter under the cursor, or not."""
        current = self.table().current
        if not current:
            return
        self._all = False
        self._marked ^= {int(current)}
        if len(self._marked) > MARKED_MAX:
            self._marked -= {int(current)}
            self.desk.say(f"at most {MARKED_MAX:,} are marked one by one; a marks all that match a filter")
        self._paint()
        self.table().action_cursor_down()

    def action_mark_all(self) -> None:
        """All that match, on every page; again: none."""
        self._all = not self._all
        self._marked.clear()
        self._paint()

    def action_next_page(self) -> None:
        """The next rows."""
        if self._next:
            self._after, self._page_number = self._next, self._page_number + 1
            self.desk.refresh_soon()

    def action_first_page(self) -> None:
        """Back to the beginning."""
        self._after, self._page_number = 0, 1
        self.desk.refresh_soon()

    # Actions ---------------------------------------------------------------------------------------------------

    def _chosen(self) -> list[int]:
        """Letters one by one; none where all that match are meant."""
        if self._all:
            return []
        current = self.table().current
        return sorted(self._marked) or ([int(current)] if current else [])

    def _body(self, ids: list[int]) -> dict[str, object]:
        return {"ids": ids} if ids else {"query": self.filter_text or EVERYTHING}

    async def _stake(self, ids: list[int]) -> Stake | None:
        """What an action is about, counted now."""
        if not ids:
            query = self.filter_text or EVERYTHING
            found = await self.desk.client.get("/v1/dead/count", wire.DeadCount, query=query)
            counted = (found.count, found.people, found.oldest_ms)
        else:
            letters = [one for one in await asyncio.gather(*map(self._letter, ids)) if one is not None]
            people = len({(one.destination, one.person) for one in letters})
            counted = (len(letters), people, min((one.buried_ms for one in letters), default=0))
        return Stake(*counted, "dead letter", "dead letters") if counted[0] else None

    async def _letter(self, letter_id: int) -> wire.Dead | None:
        try:
            return await self.desk.client.get(f"/v1/dead/{letter_id}", wire.Dead)
        except ApiError as error:
            if error.status != 404:
                raise
            return None

    def action_requeue(self) -> None:
        """Bring them back into their queues."""
        ids = self._chosen()
        if ids or self._all:
            self.ask(
                Plan(
                    title="Requeue dead letters?",
                    consequence="They go back to their place in each person's order and are sent again.",
                    path="/v1/dead/requeue",
                    body=self._body(ids),
                    count=lambda: self._stake(ids),
                    verb="Requeue",
                    done=lambda done: f"{text.counted(done.count, 'dead letter')} back in their queues",
                )
            )

    def action_purge(self) -> None:
        """Delete them for good."""
        ids = self._chosen()
        if ids or self._all:
            self.ask(
                Plan(
                    title="Delete dead letters for good?",
                    consequence="Their events are lost here; nothing brings them back. Export them first with x.",
                    path="/v1/dead/purge",
                    body=self._body(ids),
                    count=lambda: self._stake(ids),
                    verb="Purge",
                    typed=self._name_to_type(ids),
                    done=lambda done: f"{text.counted(done.count, 'dead letter')} deleted",
                )
            )

    def _name_to_type(self, ids: list[int]) -> str:
        """The destination's name where all are of one, else the appliance's."""
        known = {one.destination for one in self._letters if not ids or one.id in ids}
        one_destination = len(known) == 1 and (len(ids) > 0 or self._count.destinations == 1)
        if one_destination and (not ids or {one.id for one in self._letters} >= set(ids)):
            return next(iter(known))
        return self.desk.overview.appliance or "purge"

    def action_edit(self) -> None:
        """Edit a copy of the letter under the cursor; it takes the letter's place."""
        if self.table().current:
            self.run_worker(self._edit(int(self.table().current)), group="act", exclusive=True)

    async def _edit(self, letter_id: int) -> None:
        try:
            letter = await self._letter(letter_id)
        except (ApiError, Unreachable) as error:
            self.desk.say_error(error)
            return
        original = text.pretty(bytes(letter.original)) if letter else ""
        if letter is None or not original:
            self.desk.say("this letter's event cannot be read here")
            return
        edited: str | None = await self.app.push_screen_wait(Edit(original))
        if edited is None:
            self.desk.say("nothing was done")
            return
        event = wire.raw(edited)
        await self._ask(
            Plan(
                title="Requeue the edited event?",
                consequence="It takes the original's place and is sent in the person's order; the audit trail says so.",
                path=f"/v1/dead/{letter_id}/requeue",
                body={"event": event},
                count=lambda: self._stake([letter_id]),
                verb="Requeue",
                done=lambda done: "the edited event is back in its queue",
            )
        )

    def action_export(self) -> None:
        """Write them to a file."""
        ids = sorted(self._marked) if not self._all else []
        self.run_worker(self._export(ids), group="export", exclusive=True)

    async def _export(self, ids: list[int]) -> None:
        """Into the present folder; to the browser, where the console is shown in one."""
        in_browser = self.app.is_web
        folder = Path(tempfile.mkdtemp()) if in_browser else Path.cwd()
        try:
            path, count = await export_dead(self.desk.client, ids, self.filter_text, self.desk.now_ms(), folder)
            if in_browser:
                self.app.deliver_binary(path.open("rb"), save_filename=path.name)  # open: it outlives its name
        except (ApiError, Unreachable, OSError) as error:
            self.desk.say_error(error)
        else:
            where = f": your browser saves {path.name}" if in_browser else f" in {path}"
            self.desk.say(f"{text.counted(count, 'dead letter')}{where}")
        finally:
            if in_browser:
                shutil.rmtree(folder, ignore_errors=True)

    def action_zoom(self) -> None:
        """Details alone, or beside the list."""
        self.toggle_class("-zoomed")

    def action_way(self) -> None:
        """Where the event under the cursor is."""
        current = self.table().current
        letter = next((one for one in self._letters if str(one.id) == current), None)
        if letter and letter.message_id:
            self.app.push_screen(Way(letter.message_id))

    def copied(self) -> str:
        return text.pretty(bytes(self._detail.payload)) if self._detail else super().copied()

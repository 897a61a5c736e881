"""Screen 1: is data coming in, is it safe, is it leaving, what is ill."""

from typing import ClassVar, NamedTuple

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Grid
from textual.widgets import DataTable

from tui import text, wire
from tui.acting import Plan, Stake
from tui.client import ApiError, Unreachable, segment
from tui.look import Palette, colour, look, state_text
from tui.screens.page import Page, bindings_of, refusal_words
from tui.series import Many, Series
from tui.widgets import ROWS_MAX, Column, Line, Pane, Row, Rows

WINDOW_S = 300.0
NOT_OLD_MS = 1_000
"""What waits for less than this is on its way, ..."""
ON_ITS_WAY_MAX = 100
"""... where it is no more than this: not worth a line drawn anew every second."""
DESTINATION_COLUMNS = (
    Column("state", "State", 15),
    Column("name", "Destination", 11, grow=2),
    Column("queued", "Queued", 8, right=True),
    Column("oldest", "Oldest", 7, right=True),
    Column("rate", "/s", 6, right=True),
    Column("p95", "p95", 7, right=True),
    Column("failed", "Fail 5m", 7, right=True),
    Column("error", "Last error", 8, grow=3),
)
SOURCE_COLUMNS = (
    Column("state", "State", 15),
    Column("name", "Source", 11, grow=2),
    Column("rate", "/s", 7, right=True),
    Column("accepted", "Accepted", 10, right=True),
    Column("refused", "Ref 5m", 7, right=True),
    Column("duplicates", "Twice", 8, right=True, from_width=100),
    Column("last", "Last received", 14, grow=1),
)


class _Shown(NamedTuple):
    """What a destination's row says: made again only where that differs, whatever else has moved."""

    name: str
    state: str
    queued: str
    oldest: str
    rate: str
    p95: str
    failed: str
    error: str
    palette: Palette

    @classmethod
    def of(cls, one: wire.Destination, rate: float, failed: int, palette: Palette) -> "_Shown":
        age_ms = one.oldest_undelivered_age_ms
        waits = age_ms >= NOT_OLD_MS or one.queued > ON_ITS_WAY_MAX
        return cls(
            one.name,
            one.state,
            text.number(one.queued) if waits else "0",
            text.age(age_ms) if age_ms >= NOT_OLD_MS else "-",
            text.rate(rate),
            text.took(one.latency_p95_ms),
            text.number(failed),
            one.last_error,
            palette,
        )


class OverviewPage(Page):
    """Four panels and the table of destinations; `s` shows the sources in its place."""

    page = "overview"
    main = "destinations"
    filter_hint = "part of a name, a state or an error"
    BINDINGS = bindings_of("overview")
    _PANELS: ClassVar = ("collect", "log", "process", "deliver")

    def __init__(self) -> None:
        super().__init__()
        self._sources, self._destinations = Many(), Many()
        self._failed = Many()
        self._rows: dict[str, tuple[_Shown, Row]] = {}
        """What is shown and the row that it became, so that what has not changed costs a comparison."""
        self._totals = {name: Series() for name in self._PANELS}

    def compose_body(self) -> ComposeResult:
        with Grid(id="panels"):
            for name in self._PANELS:
                yield Pane(name, id=f"panel-{name}", classes="panel")
        yield Rows(DESTINATION_COLUMNS, id="destinations")
        yield Rows(SOURCE_COLUMNS, id="sources")
        yield Line(id="about")

    def on_mount(self) -> None:
        super().on_mount()
        for name in self._PANELS:
            self.query_one(f"#panel-{name}").can_focus = False

    async def fetch(self) -> None:
        """The overview was asked for already, for the status line."""
        shown = self.desk.overview
        self._look(shown)
        self._paint_panels(shown)
        self.table("destinations").put(self._destination_rows(shown))
        self.table("sources").put(self._source_rows(shown))
        self._say_about()

    def _look(self, shown: wire.Overview) -> None:
        now_s = shown.now_ms / 1000
        to = shown.destinations
        self._sources.look(now_s, {one.name: one.accepted_total for one in shown.sources})
        self._destinations.look(now_s, {one.name: one.delivered_total for one in to if one.delivered_per_s is None})
        failed = {one.name: one.failed_total + one.aborted_total for one in to if one.failed_5m is None}
        self._failed.look(now_s, failed)
        self._totals["collect"].look(now_s, sum(one.accepted_total for one in shown.sources))
        self._totals["log"].look(now_s, shown.log.events_total)
        settled = sum(one.delivered_total + one.aborted_total + one.filtered_total for one in to)
        self._totals["process"].look(now_s, settled)
        self._totals["deliver"].look(now_s, sum(one.delivered_total for one in to))

    # Panels ----------------------------------------------------------------------------------------------------

    def _paint_panels(self, shown: wire.Overview) -> None:
        for name, lines in (
            ("collect", self._collect(shown)),
            ("log", self._log(shown)),
            ("process", self._process(shown)),
            ("deliver", self._deliver(shown)),
        ):
            pane = self.query_one(f"#panel-{name}", Pane)
            width = max(8, pane.content_size.width)
            bars = text.spark(list(self._totals[name].rates), width)
            pane.put(Text("\n").join([*lines, Text(bars, style=self.palette.accent)]))

    def _figures(self, *pairs: tuple[str, str, str]) -> Text:
        """Figure, words beside it and the figure's colour, in one line."""
        shown = Text(no_wrap=True, overflow="ellipsis")
        for number, (figure, words, style) in enumerate(pairs):
            shown.append("  " if number else "")
            shown.append(figure, style or "bold")
            shown.append(f" {words}", self.palette.muted)
        return shown

    def _collect(self, shown: wire.Overview) -> list[Text]:
        refused = sum(self._refused_5m(one) for one in shown.sources)
        rate = self._totals["collect"].rate
        ill = self.palette.warning if refused else ""
        return [self._figures((text.rate(rate), "/s", ""), (text.number(refused), "refused in 5 min", ill))]

    def _log(self, shown: wire.Overview) -> list[Text]:
        log = shown.log
        ill = self.palette.error if log.fill >= 0.9 else self.palette.warning if log.fill >= 0.7 else ""
        full = "not filling" if log.full_in_s is None else f"full in {text.age(log.full_in_s * 1000)}"
        if log.state != "running":
            full, ill = text.inert(log.state, 20), self.palette.error
        return [self._figures((f"{log.fill * 100:.0f} %", "of budget", ill), (full, "", ill))]

    def _process(self, shown: wire.Overview) -> list[Text]:
        behind = max((one.lag_events for one in shown.destinations if one.state != "parked"), default=0)
        rate = self._totals["process"].rate
        return [self._figures((text.rate(rate), "/s", ""), (text.number(behind), "behind at most", ""))]

    def _deliver(self, shown: wire.Overview) -> list[Text]:
        running = [one for one in shown.destinations if one.state != "parked"]
        oldest_ms = max((one.oldest_undelivered_age_ms for one in running), default=0)
        people = sum(one.held_people for one in running)
        ill = self.palette.error if oldest_ms > 3_600_000 else self.palette.warning if oldest_ms > 60_000 else ""
        held = self.palette.warning if people else ""
        age = text.age(oldest_ms) if oldest_ms else "none"
        return [self._figures((age, "oldest", ill), (text.number(people), "people held", held))]

    # Tables ----------------------------------------------------------------------------------------------------

    def _destination_rows(self, shown: wire.Overview) -> list[Row]:
        wanted = self.filter_text.lower()
        rows = [one for one in shown.destinations if wanted in f"{one.name} {one.state} {one.last_error}".lower()]
        rows.sort(key=lambda one: (-look(one.state).illness, one.name))
        known, self._rows = self._rows, {}
        for one in rows[:ROWS_MAX]:
            rate = one.delivered_per_s if one.delivered_per_s is not None else self._destinations.of(one.name).rate
            failed = one.failed_5m if one.failed_5m is not None else self._failed.of(one.name).within(WINDOW_S)
            made_of = _Shown.of(one, rate, failed, self.palette)
            before = known.get(one.name)
            same = before is not None and before[0] == made_of
            row = before[1] if before and same else Row(one.name, self._destination_cells(made_of))
            self._rows[one.name] = (made_of, row)
        return [row for _, row in self._rows.values()]

    def _destination_cells(self, shown: "_Shown") -> dict[str, Text]:
        ill, palette = look(shown.state), shown.palette
        return {
            "state": state_text(shown.state, palette),
            "name": text.line(shown.name, "bold"),
            "queued": Text(shown.queued),
            "oldest": Text(shown.oldest),
            "rate": Text(shown.rate),
            "p95": Text(shown.p95),
            "failed": Text(shown.failed, palette.muted if shown.failed == "0" else palette.warning),
            "error": text.line(shown.error, colour(ill, palette) if ill.illness > 1 else palette.muted),
        }

    def _source_rows(self, shown: wire.Overview) -> list[Row]:
        wanted = self.filter_text.lower()
        return [
            Row(one.name, self._source_cells(one))
            for one in shown.sources
            if wanted in f"{one.name} {one.standing}".lower()
        ]

    def _source_cells(self, one: wire.Source) -> dict[str, Text]:
        refused = self._refused_5m(one)
        rate = one.accepted_per_s if one.accepted_per_s is not None else self._sources.of(one.name).rate
        return {
            "state": state_text(one.standing, self.palette),
            "name": text.line(one.name, "bold"),
            "rate": Text(text.rate(rate)),
            "accepted": Text(text.number(one.accepted_total)),
            "refused": Text(text.number(refused), self.palette.warning if refused else self.palette.muted),
            "duplicates": Text(text.number(one.duplicates_total)),
            "last": Text(text.ago(one.last_received_ms, self.desk.now_ms()), self.palette.muted),
        }

    def _refused_5m(self, one: wire.Source) -> int:
        return one.refused_5m if one.refused_5m is not None else 0

    def _say_about(self) -> None:
        """The last line: what is ill in words, or the whole error of the row under the cursor."""
        if not self.desk.overview.now_ms:
            return  # Nobody has answered yet, so nothing is known to be well.
        overview, name = self.desk.overview, self.table("destinations").current
        chosen = next((one for one in overview.destinations if one.name == name), None)
        if not self.has_class("-sources") and chosen is not None and chosen.last_error:
            words = f"{text.inert(chosen.name)}: {text.inert(chosen.last_error)}"
        elif overview.refused_reload is not None:
            words = refusal_words(overview.refused_reload, overview.now_ms)
        elif len(overview.destinations) > ROWS_MAX:
            words = f"the {ROWS_MAX} most ill of {len(overview.destinations):,} destinations; 3 pages through all"
        elif overview.sick:
            words = text.inert("; ".join(overview.sick))
        else:
            words = f"nothing is ill; events come in at {text.inert(overview.collect_url)}"
        self.query_one("#about", Line).put(Text(f" {words}", self.palette.muted, no_wrap=True, overflow="ellipsis"))

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        self._say_about()

    # Doing -----------------------------------------------------------------------------------------------------

    def action_swap(self) -> None:
        """Destinations or sources."""
        name = "destinations" if self.has_class("-sources") else "sources"
        self.set_class(name == "sources", "-sources")
        self.table(name).focus()

    @on(events.DescendantFocus)
    def _focused(self, event: events.DescendantFocus) -> None:
        """Where both have room, the mouse chooses the table as well."""
        if isinstance(event.widget, Rows):
            self.set_class(event.widget.id == "sources", "-sources")
            self._say_about()

    def _chosen(self) -> tuple[str, str]:
        kind = "sources" if self.has_class("-sources") else "destinations"
        return kind, self.table(kind).current

    def _leave_filter(self) -> None:
        self.table(self._chosen()[0]).focus()

    def action_pause(self) -> None:
        """Pause the destination or source under the cursor."""
        self._set_going("pause", "paused; what comes waits")

    def action_resume(self) -> None:
        """Let it go on."""
        self._set_going("resume", "goes on from where it stood")

    def _set_going(self, verb: str, words: str) -> None:
        kind, name = self._chosen()
        if name:
            self.act(f"/v1/{kind}/{segment(name)}/{verb}", f"{name} {words}")

    def action_rotate(self) -> None:
        """A new write key for the source under the cursor."""
        kind, name = self._chosen()
        if kind != "sources" or not name:
            self.desk.say("choose a source first: s shows them")
            return
        self.run_worker(self._rotate(name), group="act", exclusive=True)

    async def _rotate(self, name: str) -> None:
        """Ask only where the key is the appliance's to change; one that stands in the file is changed there."""
        try:
            found = await self.desk.client.get("/v1/config", wire.Settings)
        except (ApiError, Unreachable) as error:
            self.desk.say_error(error)
            return
        key = next((one for one in found.settings if one.key == f"sources.{name}.write_key"), None)
        if key is not None and key.origin == "file":
            place = f"{key.file or found.file}, line {key.line}"
            self.desk.say(
                f"the write key of {name} stands in {place}, and is changed there: put the new one in its place, the "
                "old one into previous_write_key, and re-load (7, then l)",
                8.0,
            )
            return

        async def count() -> Stake:
            one = next(one for one in self.desk.overview.sources if one.name == name)
            return Stake(one.accepted_total, many="events so far")

        self.ask(
            Plan(
                title=f"Rotate the write key of {name}",
                consequence="The old key is accepted for 24 hours, then whoever still sends with it is refused.",
                path=f"/v1/sources/{segment(name)}/rotate-key",
                count=count,
                verb="Rotate",
                expecting=False,
                done=lambda done: f"the new write key of {name}: {done.write_key}",
            )
        )

    @on(DataTable.RowSelected, "#destinations")
    async def _opened(self, event: DataTable.RowSelected) -> None:
        await self.desk.go_to_destination(str(event.row_key.value))

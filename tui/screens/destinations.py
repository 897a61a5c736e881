"""Screen 3: one destination after the other: its health, queue, errors and configuration; pause, resume and more."""

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, Vertical
from textual.widgets import ContentSwitcher, DataTable, Static

from tui import text, wire
from tui.acting import Plan, Stake
from tui.client import ApiError, segment
from tui.look import look, state_text
from tui.screens import destination_views as views
from tui.screens.page import Page, bindings_of
from tui.screens.replay import AskReplay, Span
from tui.widgets import ROWS_MAX, Column, Pane, Row, Rows

VIEWS = ("health", "queue", "errors", "config")
LIST_COLUMNS = (
    Column("state", "State", 15),
    Column("name", "Destination", 12, grow=3),
    Column("queued", "Queued", 8, right=True),
    Column("held", "Held", 6, right=True),
    Column("plugin", "Plug-in", 9, grow=1),
)


class ViewName(Static):
    """The name of one view; a click shows it."""

    def __init__(self, view: str) -> None:
        super().__init__(view, markup=False, classes="view-name", id=f"name-{view}")
        self._view = view

    def on_click(self) -> None:
        if isinstance(self.screen, DestinationsPage):
            self.screen.show(self._view)


class DestinationsPage(Page):
    """The list, and what is known of the one under the cursor."""

    page = "destinations"
    main = "list"
    filter_hint = "part of a name or state, on this page"
    BINDINGS = bindings_of("destinations")

    def __init__(self) -> None:
        super().__init__()
        self._view = "health"
        self._after, self._next = "", ""
        self._listed: list[wire.Destination] = []
        self._one = wire.Destination(name="")
        self._wanted = ""
        self._error = 0

    def compose_body(self) -> ComposeResult:
        with Container(id="split"):
            yield Rows(LIST_COLUMNS, id="list")
            with Vertical(id="details"):
                with Horizontal(id="views"):
                    for view in VIEWS:
                        yield ViewName(view)
                with ContentSwitcher(initial="health", id="switch"):
                    yield Pane("health", id="health")
                    yield Rows(views.QUEUE_COLUMNS, id="queue")
                    with Vertical(id="errors"):
                        yield Rows(views.ERROR_COLUMNS, id="kinds")
                        with Horizontal(id="samples"):
                            yield Pane("sent request", id="sample-request")
                            yield Pane("raw response", id="sample-response")
                    yield Rows(views.CONFIG_COLUMNS, id="settings")

    def on_mount(self) -> None:
        super().on_mount()
        self.show("health")

    def choose(self, name: str) -> None:
        """Put the cursor on a destination as soon as it is listed."""
        self._wanted, self._after, self.filter_text = name, "", ""
        self.desk.refresh_soon()

    def show(self, view: str) -> None:
        """One of the four views."""
        self._view = view
        self.query_one("#switch", ContentSwitcher).current = "settings" if view == "config" else view
        for name in VIEWS:
            self.query_one(f"#name-{name}").set_class(name == view, "-here")
        self.desk.refresh_soon()

    # Asking ----------------------------------------------------------------------------------------------------

    async def fetch(self) -> None:
        """The list, then the one under the cursor."""
        client = self.desk.client
        page = await client.get("/v1/destinations", wire.Destinations, limit=ROWS_MAX, after=self._after)
        self._next, self._listed = page.after, page.destinations
        wanted = self.filter_text.lower()
        rows = [one for one in page.destinations if wanted in f"{one.name} {one.state} {one.last_error}".lower()]
        rows.sort(key=lambda one: (-look(one.state).illness, one.name))
        self.table().put([Row(one.name, self._cells(one)) for one in rows])
        if self._wanted:
            self.table().go_to(self._wanted)
            self._wanted = ""
        await self._fetch_one(self.table().current)

    async def _fetch_one(self, name: str) -> None:
        listed = next((one for one in self._listed if one.name == name), None)
        if listed is None:
            self.query_one("#health", Pane).put(self.dim("no destination here"))
            return
        self._one = listed
        if self._view == "config":
            self._one = await self._asked_alone(listed)
            self.table("settings").put(views.config_rows(name, self._one.config, self.palette))
        elif self._view == "queue":
            path = f"/v1/destinations/{segment(name)}/held"
            held = await self.desk.client.get(path, wire.HeldPage, limit=ROWS_MAX)
            self.table("queue").put(views.queue_rows(held, self.palette, self.desk.now_ms()))
        elif self._view == "errors":
            self.table("kinds").put(views.error_rows(listed, self.palette, self.desk.now_ms()))
            self._show_sample()
        else:
            health = views.health_text(listed, self.palette, self.desk.now_ms())
            self.query_one("#health", Pane).put(health, listed.plugin and f"health of a {listed.plugin}")

    async def _asked_alone(self, listed: wire.Destination) -> wire.Destination:
        try:
            return await self.desk.client.get(f"/v1/destinations/{segment(listed.name)}", wire.Destination)
        except ApiError as error:
            if error.status != 404:
                raise
            return listed  # An appliance that does not tell configurations, or a parked destination.

    def _cells(self, one: wire.Destination) -> dict[str, Text]:
        return {
            "state": state_text(one.state, self.palette),
            "name": text.line(one.name, "bold"),
            "queued": Text(text.number(one.queued)),
            "held": Text(text.number(one.held_people), self.palette.warning if one.held_people else self.palette.muted),
            "plugin": text.line(one.plugin, self.palette.muted),
        }

    def _show_sample(self) -> None:
        chosen = self.table("kinds").current
        sample = next((kind.sample for kind in self._one.errors if kind.reason == chosen), self._one.last_error_sample)
        request, answer = text.request_and_answer(sample)
        nothing = self.dim("-" if self.desk.whoami.payloads else "(this token has no right to see payloads)")
        self.query_one("#sample-request", Pane).put(text.block(request) if request else nothing)
        self.query_one("#sample-response", Pane).put(text.block(answer) if answer else nothing)

    @on(DataTable.RowHighlighted, "#list")
    def _chosen_other(self) -> None:
        self.desk.refresh_soon()

    @on(DataTable.RowHighlighted, "#kinds")
    def _chosen_kind(self) -> None:
        self._show_sample()

    @on(DataTable.RowSelected, "#queue")
    async def _chosen_person(self, event: DataTable.RowSelected) -> None:
        await self.desk.go_to_person(str(event.row_key.value))

    # Keys ------------------------------------------------------------------------------------------------------

    def action_view(self) -> None:
        """The next view."""
        self.show(VIEWS[(VIEWS.index(self._view) + 1) % len(VIEWS)])

    def action_zoom(self) -> None:
        """Details alone, or beside the list."""
        self.toggle_class("-zoomed")

    def action_next_page(self) -> None:
        """The next rows."""
        if self._next:
            self._after = self._next
            self.desk.refresh_soon()

    def action_first_page(self) -> None:
        """Back to the beginning."""
        self._after = ""
        self.desk.refresh_soon()

    def action_pause(self) -> None:
        """Pause the one under the cursor."""
        self._set_going("pause", "paused; its queue and position are kept")

    def action_resume(self) -> None:
        """Let it go on."""
        self._set_going("resume", "goes on from where it stood")

    def _set_going(self, verb: str, words: str) -> None:
        if name := self.table().current:
            self.act(f"/v1/destinations/{segment(name)}/{verb}", f"{name} {words}")

    def action_drain(self) -> None:
        """Try all who wait now."""
        if name := self.table().current:
            self.ask(
                Plan(
                    title=f"Try everybody who waits at {name} now?",
                    consequence="Each person's first event goes out at once, in order; a failure counts as an attempt.",
                    path=f"/v1/destinations/{segment(name)}/drain",
                    count=lambda: self._held(name),
                    verb="Drain",
                    done=lambda done: f"{text.counted(done.hastened, 'person', 'people')} tried again now",
                )
            )

    def action_test(self) -> None:
        """Send one event of our own."""
        if name := self.table().current:
            self.ask(
                Plan(
                    title=f"Send a test event to {name}?",
                    consequence="It goes out once, outside of queues and log, and cannot be called back.",
                    path=f"/v1/destinations/{segment(name)}/test",
                    count=_one_test_event,
                    verb="Send",
                    expecting=False,
                    done=lambda done: f"{name}: {done.result.get('kind', '')} {done.result.get('reason', '')}",
                )
            )

    def action_forget(self) -> None:
        """End a parked destination."""
        if name := self.table().current:
            self.ask(
                Plan(
                    title=f"Forget {name}?",
                    consequence="Its position and the events it holds are deleted for good; dead letters stay.",
                    path=f"/v1/destinations/{segment(name)}/forget",
                    count=lambda: self._held(name),
                    verb="Forget",
                    typed=name,
                    done=lambda done: f"{name} is forgotten, with {text.counted(done.forgotten, 'held event')}",
                )
            )

    async def _held(self, name: str) -> Stake:
        """Everything that is held there, counted now."""
        held = await self.desk.client.get(f"/v1/destinations/{segment(name)}/held", wire.HeldPage, limit=1000)
        page = await self.desk.client.get("/v1/destinations", wire.Destinations, limit=ROWS_MAX, after=self._after)
        events = next((one.held_events for one in page.destinations if one.name == name), 0)
        oldest_ms = min((one.first_failed_ms for one in held.held if one.first_failed_ms), default=0)
        return Stake(events, held.people, oldest_ms, "held event", "held events")

    def action_replay(self) -> None:
        """Deliver a range of the past again."""
        if name := self.table().current:
            self.run_worker(self._replay(name), group="act", exclusive=True)

    async def _replay(self, name: str) -> None:
        overview = await self.desk.client.get("/v1/overview", wire.Overview)
        span: Span | None = await self.app.push_screen_wait(AskReplay(name, overview, self.desk.now_ms()))
        if span is None:
            self.desk.say("nothing was done")
            return
        body: dict[str, object] = {"destination": name, "from_ms": span.from_ms, "to_ms": span.to_ms}
        try:
            started = await self.desk.client.act("/v1/replays", wire.ReplayStarted, body)
        except Exception as error:
            self.desk.say_error(error)
            return
        self.desk.say(f"{started.replay} began, {text.counted(started.events_max, 'event')} at most; 6 shows it")


async def _one_test_event() -> Stake:
    return Stake(1, 0, 0, "test event", "test events")

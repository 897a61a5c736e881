"""Screen 7: the configuration in force, with origins; a look at the difference before it is re-loaded."""

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import DataTable

from tui import text, wire
from tui.client import ApiError, Unreachable
from tui.screens.diff import ShowDiff
from tui.screens.page import Page, bindings_of, refusal_words
from tui.widgets import ROWS_MAX, Column, Line, Pane, Row, Rows

COLUMNS = (
    Column("key", "Key", 32, grow=1, keep_end=True),
    Column("value", "Value", 12, grow=2),
    Column("origin", "From", 9),
    Column("line", "Line", 6, right=True),
    Column("restart", "Takes effect", 14, from_width=100),
)
ASK_AGAIN_S = 5


class ConfigPage(Page):
    """Read-only. What differs from its default is bright."""

    page = "config"
    main = "settings"
    filter_hint = "part of a key, a value, a word of its documentation, or file, default, generated"
    BINDINGS = bindings_of("config")

    def __init__(self) -> None:
        super().__init__()
        self._settings = wire.Settings()
        self._after, self._wait = 0, 0

    def compose_body(self) -> ComposeResult:
        yield Line(id="what")
        yield Rows(COLUMNS, id="settings")
        yield Pane("about this key", id="doc")

    async def fetch(self) -> None:
        """All keys, anew every few seconds; a filter works here."""
        self._wait -= 1
        if self._wait <= 0:
            self._settings = await self.desk.client.get("/v1/config", wire.Settings)
            self._wait = ASK_AGAIN_S
        self._paint()

    def filtered(self) -> None:
        self._after = 0

    def acted(self) -> None:
        self._wait = 0

    def _matching(self) -> list[wire.Setting]:
        words = self.filter_text.lower().split()
        return [
            one
            for one in self._settings.settings
            if all(word in f"{one.key} {text.value(one.value)} {one.doc} {one.origin}".lower() for word in words)
        ]

    def _paint(self) -> None:
        found = self._matching()
        shown = found[self._after : self._after + ROWS_MAX]
        self.table().put([Row(one.key, self._cells(one)) for one in shown])
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(f" {text.inert(self._settings.file) or 'no file: defaults'}", "bold")
        line.append(f"  {len(found):,} of {text.counted(len(self._settings.settings), 'key')}", self.palette.muted)
        if self.filter_text:
            line.append(f"  filter: {text.inert(self.filter_text, 60)}", self.palette.accent)
        if (refused := self.desk.overview.refused_reload) is not None:
            line = Text(f" {refusal_words(refused, self.desk.now_ms())}", self.palette.error, no_wrap=True)
        self.query_one("#what", Line).put(line)
        self._show_doc()

    def _cells(self, one: wire.Setting) -> dict[str, Text]:
        default = one.origin == "default"
        return {
            "key": text.line(one.key, self.palette.muted if default else "bold"),
            "value": Text(text.value(one.value), self.palette.muted if default else "", no_wrap=True),
            "origin": text.line(one.origin, self.palette.muted if default else self.palette.accent),
            "line": Text(str(one.line or "-"), self.palette.muted),
            "restart": Text("at restart" if one.restart else "at re-load", self.palette.muted),
        }

    @on(DataTable.RowHighlighted, "#settings")
    def _show_doc(self) -> None:
        current = self.table().current
        one = next((one for one in self._settings.settings if one.key == current), None)
        shown = Text()
        if one is not None:
            place = f"{one.file or self._settings.file}, line {one.line}" if one.line else one.origin
            shown.append(f"{text.inert(one.key)} = {text.value(one.value)}\n", "bold")
            shown.append(f"{text.inert(one.doc)}\n")
            when = "a change takes effect at the next start" if one.restart else "a re-load brings a change into force"
            shown.append(f"default {text.value(one.default)}   from {text.inert(place)}   {when}", self.palette.muted)
        self.query_one("#doc", Pane).put(shown)

    def action_next_page(self) -> None:
        """The next rows."""
        if self._after + ROWS_MAX < len(self._matching()):
            self._after += ROWS_MAX
            self._paint()

    def action_first_page(self) -> None:
        """Back to the beginning."""
        self._after = 0
        self._paint()

    def action_diff(self) -> None:
        """Only look."""
        self.run_worker(self._compare(reload=False), group="act", exclusive=True)

    def action_reload(self) -> None:
        """Look, then re-load."""
        self.run_worker(self._compare(reload=True), group="act", exclusive=True)

    async def _compare(self, *, reload: bool) -> None:
        client = self.desk.client
        try:
            diff = await client.get("/v1/config/diff", wire.Diff)
            if not await self.app.push_screen_wait(ShowDiff(diff, self.palette, reload=reload)):
                return
            done = await client.act("/v1/reload", wire.Done, {})
        except (ApiError, Unreachable) as error:
            self.desk.say_error(error)
            self.desk.overview_changed()
            return
        changes = "; ".join(done.changes) or "nothing changed"
        self.desk.say(f"re-loaded: {changes}")
        self.acted()
        self.desk.overview_changed()

    def copied(self) -> str:
        current = self.table().current
        one = next((one for one in self._settings.settings if one.key == current), None)
        return f"{one.key} = {text.value(one.value)}" if one else ""

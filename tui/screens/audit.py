"""Screen 8: who did what, when and to how many; and what the process says."""

import json
from collections import deque

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.widgets import DataTable

from tui import text, wire
from tui.screens.page import Page, bindings_of
from tui.widgets import ROWS_MAX, Column, Line, Pane, Row, Rows

LINES_MAX = 2_000
AUDIT_COLUMNS = (
    Column("when", "When", 20),
    Column("who", "Who", 9),
    Column("what", "What", 18),
    Column("target", "Target", 10, grow=2),
    Column("count", "Count", 7, right=True),
    Column("outcome", "Outcome", 8, grow=1),
)
LOG_COLUMNS = (
    Column("when", "Time", 8),
    Column("level", "Level", 8),
    Column("logger", "Part", 10),
    Column("event", "Event", 18, grow=1),
    Column("fields", "Fields", 18, grow=3),
)
_COLOURS = {"warning": "warning", "error": "error", "critical": "error"}


class AuditPage(Page):
    """The audit trail, newest first; `s` shows the process's own lines in its place."""

    page = "audit"
    main = "audit"
    filter_hint = "words, all of which must occur; for logs also a level such as warning"
    BINDINGS = bindings_of("audit")

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[wire.AuditEntry] = []
        self._shown: list[wire.AuditEntry] = []
        self._lines: deque[wire.LogLine] = deque(maxlen=LINES_MAX)
        self._after = 0
        self._logs = False

    def compose_body(self) -> ComposeResult:
        yield Line(id="what")
        yield Rows(AUDIT_COLUMNS, id="audit")
        yield Rows(LOG_COLUMNS, id="logs")
        yield Pane("the whole entry", id="entry")

    def on_mount(self) -> None:
        super().on_mount()
        self.table("logs").display = False

    async def fetch(self) -> None:
        """The newest entries, or the lines since the last look."""
        client = self.desk.client
        if self._logs:
            found = await client.get("/v1/logs", wire.LogLines, after=self._after or "")
            self._lines.extendleft(found.logs)
            self._after = found.after or self._after
        else:
            self._entries = (await client.get("/v1/audit", wire.AuditPage, limit=ROWS_MAX)).audit
        self._paint()

    def _paint(self) -> None:
        words = self.filter_text.lower().split()
        if self._logs:
            lines = [one for one in self._lines if _holds(words, one.level, one.logger, one.event, one.fields)]
            self.table("logs").put([Row(str(one.id), self._line_cells(one)) for one in lines])
            shown = text.counted(len(lines), "line")
        else:
            entries = [one for one in self._entries if _holds(words, one.who, one.what, one.target, one.outcome)]
            rows = [Row(f"{one.when} {one.what} {one.target}", self._entry_cells(one)) for one in entries]
            self.table("audit").put(rows)
            self._shown = entries
            shown = text.counted(len(entries), "entry", "entries")
        palette = self.palette
        line = Text(" ", no_wrap=True, overflow="ellipsis")
        line.append(" audit ", palette.muted if self._logs else "bold reverse")
        line.append(" logs ", "bold reverse" if self._logs else palette.muted)
        line.append(f"  {shown}, the newest first", palette.muted)
        if self.filter_text:
            line.append(f"  filter: {text.inert(self.filter_text, 60)}", palette.accent)
        self.query_one("#what", Line).put(line)
        self._show_entry()

    def _entry_cells(self, one: wire.AuditEntry) -> dict[str, Text]:
        muted = self.palette.muted
        return {
            "when": text.line(one.when.replace("T", " ")[:19] + "Z", muted),
            "who": text.line(one.who),
            "what": text.line(one.what, "bold"),
            "target": text.line(one.target),
            "count": Text(text.number(one.count) if one.count else "-", muted if not one.count else ""),
            "outcome": text.line(one.outcome, self.palette.success if one.outcome == "done" else self.palette.error),
        }

    def _line_cells(self, one: wire.LogLine) -> dict[str, Text]:
        muted, colour = self.palette.muted, _COLOURS.get(one.level.lower())
        style = getattr(self.palette, colour) if colour else ""
        return {
            "when": Text(text.clock(one.when_ms), muted),
            "level": text.line(one.level, style or muted),
            "logger": text.line(one.logger, muted),
            "event": text.line(one.event, style or "bold"),
            "fields": text.line(" ".join(f"{key}={value}" for key, value in one.fields.items())),
        }

    @on(DataTable.RowHighlighted)
    def _show_entry(self) -> None:
        shown, facts = Text(), self._chosen()
        for key, value in facts.items():
            words = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            shown.append(f"{text.inert(key, 20):<10} ", self.palette.muted)
            shown.append(f"{text.inert(words, 2_000)}\n")
        shown.rstrip()
        self.query_one("#entry", Pane).put(shown)

    def _chosen(self) -> dict[str, object]:
        if self._logs:
            current = self.table("logs").current
            line = next((one for one in self._lines if str(one.id) == current), None)
            return {} if line is None else {"when": text.moment(line.when_ms), "event": line.event, **line.fields}
        row = self.table("audit").cursor_row
        return _facts(self._shown[row]) if 0 <= row < len(self._shown) else {}

    def action_swap(self) -> None:
        """Audit or logs."""
        self._logs = not self._logs
        self.table("audit").display, self.table("logs").display = not self._logs, self._logs
        self.table("logs" if self._logs else "audit").focus()
        self._paint()
        self.desk.refresh_soon()

    def _leave_filter(self) -> None:
        self.table("logs" if self._logs else "audit").focus()


def _holds(words: list[str], *parts: object) -> bool:
    whole = " ".join(map(str, parts)).lower()
    return all(word in whole for word in words)


def _facts(entry: wire.AuditEntry) -> dict[str, object]:
    facts: dict[str, object] = {
        "when": entry.when,
        "who": entry.who,
        "user": entry.user,
        "from": entry.address,
        "what": entry.what,
        "target": entry.target,
        "count": entry.count,
        "outcome": entry.outcome,
        **entry.detail,
    }
    return {key: value for key, value in facts.items() if value not in ("", 0, None)}

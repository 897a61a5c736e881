"""What every screen is built of: the row of screens, tables that change cell by cell, panes and lines of text."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import DataTable, Static

from tui.keys import PAGES

ROWS_MAX = 200
SHORT_NAMES = {"dead": "Dead", "log": "Log", "audit": "Audit"}
"""Where the row of screens has 80 columns."""


class Column(NamedTuple):
    """One column: `width` in characters, or `grow` for a share of what is left; left out on screens narrower than
    `from_width`; `keep_end`: what is too long loses its beginning."""

    key: str
    label: str
    width: int
    right: bool = False
    grow: int = 0
    from_width: int = 0
    keep_end: bool = False


class Row(NamedTuple):
    """A row of a table by its key; cells by column."""

    key: str
    cells: dict[str, Text]


class Rows(DataTable[Text]):
    """A table of at most `ROWS_MAX` rows that touches only what has changed.

    Args:
        columns: all that there are; which of them are shown depends on the width.
    """

    def __init__(self, columns: Sequence[Column], *, id: str) -> None:
        super().__init__(id=id, cursor_type="row", cell_padding=0, cursor_foreground_priority="renderable")
        self._all: tuple[Column, ...] = tuple(columns)
        self._shown: tuple[Column, ...] = ()
        self._rows: list[Row] = []
        self._drawn: list[Row] = []
        """What stands in the table: the same rows, but out of sight perhaps as they were."""
        self._widths: dict[str, int] = {}
        self._laid_out = 0

    def put(self, rows: Sequence[Row]) -> None:
        """Show these rows. Same rows in the same order: only cells that differ are updated."""
        rows = _each_once(rows[:ROWS_MAX])
        same = self._laid_out and [row.key for row in rows] == [row.key for row in self._rows]
        current = self.current  # the row, not its number: it may stand elsewhere now
        self._rows = rows
        if same:
            self._update_seen()
        else:
            self._fill(current)

    def _update_seen(self) -> None:
        """Update what differs where it is seen; the rest when it is scrolled to."""
        first = max(0, int(self.scroll_y) - 1)
        for index in range(first, min(len(self._rows), first + self.size.height + 2)):
            old, new = self._drawn[index], self._rows[index]
            if old.cells is new.cells:
                continue
            self._drawn[index] = new
            for column in self._shown:
                if old.cells.get(column.key) != new.cells.get(column.key):
                    self.update_cell(new.key, column.key, self._cell(column, new))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Scrolled: what comes into sight may be behind."""
        super().watch_scroll_y(old_value, new_value)
        if self._laid_out and len(self._drawn) == len(self._rows):
            self._update_seen()

    @property
    def current(self) -> str:
        """The key of the row under the cursor; "" where there is none."""
        return self._rows[self.cursor_row].key if 0 <= self.cursor_row < len(self._rows) else ""

    @property
    def row_keys(self) -> list[str]:
        return [row.key for row in self._rows]

    def plain_row(self, key: str) -> str:
        """A row as text, for the clipboard."""
        cells = next((row.cells for row in self._rows if row.key == key), {})
        return "\t".join(cell.plain for cell in cells.values())

    def go_to(self, key: str) -> None:
        """Put the cursor on a row, where it is there."""
        if key in (keys := self.row_keys):
            self.move_cursor(row=keys.index(key), animate=False)

    def on_resize(self, event: events.Resize) -> None:
        if self.size.width != self._laid_out:
            self._fill(self.current)

    def _fill(self, current: str) -> None:
        width = self.scrollable_content_region.width or self.size.width
        if not width:
            return  # Not on the screen yet; the first resize comes here again.
        top = self.scroll_y
        if self.size.width != self._laid_out:
            self._laid_out = self.size.width
            self.clear(columns=True)
            self._lay_out(width)
        else:
            self.clear()
        self._drawn = list(self._rows)
        for row in self._rows:
            self.add_row(*(self._cell(column, row) for column in self._shown), key=row.key, height=1)
        self.go_to(current)
        self.scroll_to(y=top, animate=False)

    def _lay_out(self, width: int) -> None:
        screen_width = self.app.size.width
        self._shown = tuple(column for column in self._all if column.from_width <= screen_width)
        left = width - sum(column.width + 1 for column in self._shown)
        shares = sum(column.grow for column in self._shown) or 1
        for column in self._shown:
            self._widths[column.key] = column.width + max(0, left) * column.grow // shares
            label = self._fitted(column, Text(column.label))
            self.add_column(label, key=column.key, width=self._widths[column.key] + 1)

    def _cell(self, column: Column, row: Row) -> Text:
        return self._fitted(column, row.cells.get(column.key, Text()))

    def _fitted(self, column: Column, cell: Text) -> Text:
        """A cell cut to its column, so that one column of space stays before the next."""
        width, fitted = self._widths[column.key], cell.copy()
        if column.keep_end and fitted.cell_len > width:
            fitted = Text("…", style=fitted.style) + fitted[-(width - 1) :]
        fitted.truncate(width, overflow="ellipsis")
        if column.right:
            fitted.pad_left(width - fitted.cell_len)
        return fitted


def _each_once(rows: Sequence[Row]) -> list[Row]:
    """Rows of which two have one key, such as two audit entries of one moment, get keys of their own."""
    seen: Counter[str] = Counter()
    unique = []
    for row in rows:
        seen[row.key] += 1
        unique.append(row if seen[row.key] == 1 else Row(f"{row.key} #{seen[row.key]}", row.cells))
    return unique


class Pane(VerticalScroll):
    """A framed piece of text that scrolls; repainted only when the text differs."""

    def __init__(self, title: str, *, id: str, classes: str = "") -> None:
        super().__init__(id=id, classes=f"pane {classes}")
        self.border_title = Text(title).plain
        self._text = Text()
        self._static = Static(self._text, markup=False)

    def compose(self) -> ComposeResult:
        yield self._static

    def put(self, text: Text, title: str = "") -> None:
        """Show a text, under another title where one is given (our own words, never an event's)."""
        if title and title != self.border_title:
            self.border_title = title
        if text != self._text or text.spans != self._text.spans:
            self._text = text
            self._static.update(text)

    @property
    def plain(self) -> str:
        return self._text.plain


class Line(Static):
    """One line that does not wrap; repainted only when it differs."""

    def __init__(self, *, id: str, classes: str = "") -> None:
        super().__init__("", id=id, classes=f"line {classes}", markup=False)
        self._text = Text()

    def put(self, text: Text) -> None:
        """Show a text."""
        if text != self._text or text.spans != self._text.spans:
            self._text = text
            self.update(text)

    @property
    def plain(self) -> str:
        return self._text.plain


class PageName(Static):
    """One screen's name; a click goes there."""

    def __init__(self, number: int, page: str, here: bool) -> None:
        short = SHORT_NAMES.get(page, PAGES[page])
        super().__init__(f"{number} {short}", markup=False, classes="page-name -here" if here else "page-name")
        self._page = page

    async def on_click(self) -> None:
        await self.app.run_action(f"app.go('{self._page}')")


class PageNames(Horizontal):
    """The row of screens."""

    def __init__(self, here: str) -> None:
        super().__init__(*(PageName(number, page, page == here) for number, page in enumerate(PAGES, 1)), id="pages")

"""Screen 6: the write-ahead log: fill, retention, what lies beside it; replays under way; warehouses."""

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal

from tui import text, wire
from tui.acting import Plan, Stake
from tui.client import segment
from tui.look import state_text
from tui.screens.page import Page, bindings_of
from tui.widgets import Column, Line, Pane, Row, Rows

BAR, BUDGET_BAR, PILE_BAR = 20, 10, 5
REPLAY_COLUMNS = (
    Column("name", "Replay", 12, grow=2),
    Column("destination", "Destination", 11, grow=1),
    Column("bar", "Progress", BAR),
    Column("share", "", 5, right=True),
    Column("delivered", "Delivered", 10, right=True),
    Column("left", "Left", 9, right=True),
    Column("criteria", "Only", 8, grow=2, from_width=100),
)
WAREHOUSE_COLUMNS = (
    Column("state", "State", 15),
    Column("name", "Warehouse", 12, grow=1),
    Column("behind", "Behind", 10, right=True),
    Column("loaded", "Loaded", 12, right=True),
    Column("error", "Last error", 12, grow=2),
)


class LogPage(Page):
    """Two panes of figures, the replays with their progress, the warehouses."""

    page = "log"
    main = "replays"
    BINDINGS = bindings_of("log")

    def __init__(self) -> None:
        super().__init__()
        self._replays: dict[str, wire.Replay] = {}
        self._began: dict[str, int] = {}
        """Events sent and left when a replay was seen first: what its progress is measured by."""

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="figures"):
            yield Pane("write-ahead log", id="log")
            yield Pane("beside it", id="piles")
        yield Line(id="replays-title")
        yield Rows(REPLAY_COLUMNS, id="replays")
        yield Line(id="warehouses-title")
        yield Rows(WAREHOUSE_COLUMNS, id="warehouses")

    async def fetch(self) -> None:
        """The log's figures and the replays."""
        client = self.desk.client
        stats = await client.get("/v1/wal/stats", wire.LogStats)
        replays = (await client.get("/v1/replays", wire.Replays)).replays
        self._replays = {one.name: one for one in replays}
        self.query_one("#log", Pane).put(self._log_text(stats))
        self.query_one("#piles", Pane).put(self._piles_text(stats))
        wanted = self.filter_text.lower()
        shown = [one for one in replays if wanted in f"{one.name} {one.destination}".lower()]
        self.table().put([Row(one.name, self._replay_cells(one)) for one in shown])
        words = text.counted(len(shown), "replay") + " under way" if shown else "no replay is under way; 3, then R"
        self.query_one("#replays-title", Line).put(self.dim(f" {words}"))
        self._show_warehouses()

    def _show_warehouses(self) -> None:
        found = [one for one in self.desk.overview.destinations if one.kind == "warehouse"]
        self.table("warehouses").display = bool(found)
        self.table("warehouses").put([Row(one.name, self._warehouse_cells(one)) for one in found])
        words = text.counted(len(found), "warehouse") if found else "no warehouse is configured"
        self.query_one("#warehouses-title", Line).put(self.dim(f" {words}"))

    def _facts(self, width: int, *pairs: tuple[str, str, str]) -> Text:
        shown = Text()
        for label, words, style in pairs:
            shown.append(f"{label:<{width}}", self.palette.muted)
            shown.append(f"{words}\n", style)
        shown.rstrip()
        return shown

    def _log_text(self, log: wire.LogStats) -> Text:
        palette = self.palette
        ill = palette.error if log.fill >= 0.9 else palette.warning if log.fill >= 0.7 else palette.success
        full = "not filling" if log.full_in_s is None else f"full in {text.age(log.full_in_s * 1000)}"
        shown = Text()
        shown.append(f"{'budget':<11}", palette.muted)
        shown.append(text.gauge(log.fill, BUDGET_BAR), ill)
        shown.append(f" {log.fill * 100:.0f} %  {full}\n")
        shown.append(f"{'state':<11}", palette.muted)
        shown.append_text(state_text(log.state, palette))
        shown.append("\n")
        dropped = log.events_dropped_total
        rest = self._facts(
            11,
            ("size", f"{text.size(log.bytes)} of {text.size(log.bytes_max)}", ""),
            ("blocks", f"{log.blocks:,}, {text.size(log.block_bytes)}", ""),
            ("oldest", f"{text.age(log.oldest_ms)} old, {text.age(log.retention_s * 1000)} are kept", ""),
            ("events", f"{text.number(log.events_total)}, up to number {log.last_sequence:,}", ""),
            ("commits", f"p50 {text.took(log.commit_p50_ms)}, p99 {text.took(log.commit_p99_ms)}", ""),
            ("in memory", f"{text.size(log.queue_bytes)} of {text.size(log.queue_bytes_max)}", ""),
            ("dropped", f"{dropped:,} undelivered" if dropped else "none", palette.error if dropped else ""),
        )
        shown.append_text(rest)
        if log.quarantined:
            shown.append(f"\nset aside  {text.inert(log.quarantined)}", palette.error)
        return shown

    def _piles_text(self, log: wire.LogStats) -> Text:
        shown = Text()
        for label, pile, evicted in (
            ("held", log.held, 0),
            ("dead", log.dead, log.dead_evicted_total),
            ("refused", log.refused, log.refused_evicted_total),
        ):
            share = pile.bytes / pile.bytes_max if pile.bytes_max else 0.0
            shown.append(f"{label:<8}", self.palette.muted)
            shown.append(text.gauge(share, PILE_BAR), self.palette.warning if share >= 0.7 else self.palette.accent)
            shown.append(f" {text.number(pile.count)}, {text.size(pile.bytes)}")
            shown.append(f", {text.number(evicted)} evicted\n" if evicted else "\n", self.palette.warning)
        shown.append_text(
            self._facts(
                8,
                ("twice", f"{text.number(log.duplicates_total)} left out", ""),
                ("ballast", "in place" if log.ballast else "released", "" if log.ballast else self.palette.warning),
                ("log", text.inert(log.log_id, 40), self.palette.muted),
            )
        )
        return shown

    def _replay_cells(self, one: wire.Replay) -> dict[str, Text]:
        began = self._began.setdefault(one.name, max(1, one.events_left + one.delivered))
        share = 1.0 - one.events_left / began
        only = ", ".join(f"{key} {words}" for key, words in one.criteria.items() if not key.endswith("_ms"))
        return {
            "name": text.line(one.name, "bold"),
            "destination": text.line(one.destination),
            "bar": Text(text.gauge(share, BAR), self.palette.accent),
            "share": Text(f"{share * 100:.0f} %"),
            "delivered": Text(text.number(one.delivered)),
            "left": Text(text.number(one.events_left)),
            "criteria": text.line(only, self.palette.muted),
        }

    def _warehouse_cells(self, one: wire.Destination) -> dict[str, Text]:
        return {
            "state": state_text(one.state, self.palette),
            "name": text.line(one.name, "bold"),
            "behind": Text(text.number(one.lag_events)),
            "loaded": Text(text.number(one.delivered_total)),
            "error": text.line(one.last_error, self.palette.warning),
        }

    def action_cancel_replay(self) -> None:
        """End the replay under the cursor."""
        if name := self.table().current:
            self.ask(
                Plan(
                    title=f"Cancel the replay {name}?",
                    consequence="What it has not sent stays unsent, and what it holds is let go. Dead letters stay.",
                    path=f"/v1/replays/{segment(name)}/cancel",
                    count=lambda: self._left(name),
                    verb="Cancel replay",
                    expecting=False,
                    done=lambda done: f"{name} has ended",
                )
            )

    async def _left(self, name: str) -> Stake | None:
        replays = (await self.desk.client.get("/v1/replays", wire.Replays)).replays
        one = next((one for one in replays if one.name == name), None)
        return None if one is None else Stake(one.events_left, one="event left at most", many="events left at most")

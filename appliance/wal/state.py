"""What the writer knows of the store between transactions, and the upkeep that goes with one."""

import contextlib
from collections.abc import Iterable
from typing import NamedTuple

import lmdb

from appliance.core.config import WalConfig
from appliance.wal import block, held, progress, retention
from appliance.wal.budget import Budget
from appliance.wal.clock import LogClock
from appliance.wal.dead import Shelf
from appliance.wal.figures import Figures
from appliance.wal.folder import Folder
from appliance.wal.group import Group
from appliance.wal.reader import Cache
from appliance.wal.seen import Bounds, SeenRows, Window
from appliance.wal.store import Newest, Store
from appliance.wal.transaction import Desk, Effects
from appliance.wal.types import LogStats, Pile

_PAUSE_MS = 1_000
"""Upkeep beside commits runs at most this often, unless more is to do or room is short."""
_TIMER_MS = 60_000
"""Upkeep of an idle log runs at most this often."""
_SEEN_ROWS_MAX = 512


class Maintained(NamedTuple):
    """What upkeep did, to be remembered once it is committed."""

    ran: bool = False
    worked: bool = False
    """It wrote something."""
    more: bool = False
    freed_bytes: int = 0
    due_ms: int | None = None


class State:
    """One log's memory; the writer thread's, but for plain reads of single fields."""

    def __init__(self, folder: Folder, store: Store, config: WalConfig, clock: LogClock, newest: Newest) -> None:
        self.folder, self.store, self.clock = folder, store, clock
        self.last_sequence = newest.sequence
        self.next_sequence = newest.sequence + 1
        self.position, self.events = newest.position, newest.events
        self.figures, self.cache = Figures(), Cache(config.cache_bytes_max)
        bounds = Bounds(config.dedup_ids_min, config.dedup_ids_max, int(config.dedup_window * 1000))
        self.seen, self.window = SeenRows(store.tables, bounds), Window(bounds)
        disk = config.disk_bytes_max
        self.dead = Shelf(
            store, store.tables.dead, "dead", min(config.dead_bytes_max, disk // 4), int(config.dead_age_max * 1000)
        )
        self.refused = Shelf(
            store,
            store.tables.refused,
            "refused",
            min(config.refused_bytes_max, disk // 16),
            int(config.refused_age_max * 1000),
        )
        self.desk = Desk(store, self.dead, self.refused, clock)
        self.log_id = store.log_id()
        self._held_bytes_max, self._queue_bytes_max = config.held_bytes_max, config.queue_bytes_max
        self.retention_ms = int(config.retention * 1000)
        self.active: frozenset[str] | None = None
        self.pins: dict[str, int] = {}
        """Readers of the log beside destinations and replays, and how far each is done."""
        with store.env.begin() as txn:
            self._beside_blocks = 0
            self.budget = Budget(config, self.used_bytes(txn, only_blocks=False))
            self.lows = {name: one.low for name, one in progress.all_progress(txn, store.tables).items()}
            self.replay_lows = {name: one.low for name, one in progress.all_replays(txn, store.tables).items()}
            self.held = held.sizes(txn, store.tables)
        if self.budget.outgrown:
            store.extend_map(self.budget.reserve_bytes)
        self.seen.load(store.env, self.window, self.events, clock.now_ms())
        self._upkeep_ms = 0
        self._recheck_ms = 0
        self.due_ms: int | None = clock.now_ms() + _TIMER_MS
        """When upkeep must run although nothing else does; None: nothing grows old."""

    def set_active(self, destinations: Iterable[str]) -> None:
        """Which destinations hold back trimming."""
        self.active = frozenset(destinations)
        self._upkeep_ms = 0

    def pin(self, reader: str, low: int) -> None:
        """A reader of the log is done up to `low`."""
        self.pins = {**self.pins, reader: low}

    def may_recheck_disk(self) -> bool:
        """Whether a second has passed since the last look at the disk."""
        now_ms = self.clock.monotonic_ms()
        if now_ms - self._recheck_ms < _PAUSE_MS - 50:
            return False
        self._recheck_ms = now_ms
        return True

    def postpone(self) -> None:
        """Upkeep found no room: do not try again at once."""
        self.due_ms = self.clock.now_ms() + _PAUSE_MS

    def maintain(
        self, txn: "lmdb.Transaction[bytes]", group_bytes: int, press_bytes: int, effects: Effects
    ) -> Maintained:
        """Trim what is due, and more where room is short: for a group, or `press_bytes` whatever the budget says."""
        now_ms = self.clock.now_ms()
        file_bytes = self.store.file_bytes() if self.budget.disk_full else 0
        need_bytes = max(self.budget.need_bytes(group_bytes, file_bytes), press_bytes)
        if not need_bytes and now_ms < self._upkeep_ms:
            return Maintained()
        wanted = retention.Wanted(
            self._limit(effects), now_ms - self.retention_ms, need_bytes, need_bytes > 0 and self.budget.drop_oldest
        )

        def keep_ids(value: bytes, fields: block.Header) -> None:
            self.seen.keep(txn, value, fields, self.events, now_ms)

        trimmed = retention.trim(txn, self.store, wanted, keep_ids, effects.audits)
        forgotten, seen_more = self.seen.trim(txn, self.events, now_ms, _SEEN_ROWS_MAX)
        dues = [self.dead.expire(txn, now_ms, effects.audits), self.refused.expire(txn, now_ms, effects.audits)]
        if trimmed.oldest_ms is not None:
            dues.append(trimmed.oldest_ms + self.retention_ms)
        due_ms = min((due for due in dues if due is not None), default=None)
        worked = bool(trimmed.blocks or effects.audits or forgotten)
        return Maintained(True, worked, trimmed.more or seen_more, trimmed.bytes, due_ms)

    def used_bytes(self, txn: "lmdb.Transaction[bytes]", *, only_blocks: bool) -> int:
        """What the transaction leaves in use; `only_blocks`: no other table was touched."""
        blocks = self.store.table_bytes(txn, self.store.tables.blocks)
        if not only_blocks:
            self._beside_blocks = self.store.used_bytes(txn) - blocks
        return blocks + self._beside_blocks

    def committed(self, group: Group | None, effects: Effects, maintained: Maintained, used_bytes: int) -> None:
        """Take over what a transaction brought."""
        now_ms = self.clock.now_ms()
        if maintained.ran:
            self._upkeep_ms = now_ms if maintained.more else now_ms + _PAUSE_MS
            due_ms = maintained.due_ms
            self.due_ms = now_ms if maintained.more else None if due_ms is None else max(due_ms, now_ms + _TIMER_MS)
        else:  # what was written may grow old before all else
            self.due_ms = max(min(self.due_ms or now_ms + _TIMER_MS, now_ms + _TIMER_MS), self._upkeep_ms)
        if group and group.records:
            self.events += len(group.records)
            self.position += len(group.value)
            self.last_sequence = group.records[-1].sequence
        self._merge(effects)
        self.budget.committed(used_bytes)
        self.figures.sample(now_ms, used_bytes)

    def stats(self, *, state: str, queue_bytes: int, duplicates_total: int) -> LogStats:
        """All figures; the caller adds those of the collector's side."""
        store, budget, figures = self.store, self.budget, self.figures
        with store.env.begin() as txn:
            oldest = store.oldest(txn)
            dead, refused = self.dead.pile(txn), self.refused.pile(txn)
            held_count = txn.stat(store.tables.held)["entries"]
            held_bytes = store.table_bytes(txn, store.tables.held)
            blocks, block_bytes = txn.stat(store.tables.blocks)["entries"], store.table_bytes(txn, store.tables.blocks)
        used = budget.used_bytes
        return LogStats(
            log_id=self.log_id,
            state=state,
            fill=used / budget.bytes_max,
            bytes=used,
            bytes_max=budget.bytes_max,
            file_bytes=store.file_bytes(),
            first_sequence=oldest.first_sequence if oldest else 0,
            last_sequence=self.last_sequence,
            oldest_ms=self.clock.now_ms() - oldest.log_ms if oldest else 0,
            blocks=blocks,
            block_bytes=block_bytes,
            retention_s=self.retention_ms / 1000,
            dedup_ids=len(self.window),
            held=Pile(held_count, held_bytes, self._held_bytes_max),
            dead=dead,
            refused=refused,
            events_total=figures.events_total,
            event_bytes_total=figures.event_bytes_total,
            stored_bytes_total=figures.stored_bytes_total,
            duplicates_total=duplicates_total,
            commits_total=figures.commits_total,
            commit_p50_ms=figures.latency_ms(0.5),
            commit_p99_ms=figures.latency_ms(0.99),
            queue_bytes=queue_bytes,
            queue_bytes_max=self._queue_bytes_max,
            dead_evicted_total=figures.dead_evicted_total,
            refused_evicted_total=figures.refused_evicted_total,
            events_dropped_total=figures.events_dropped_total,
            ballast=budget.ballast,
            quarantined=self.folder.quarantined(),
            full_in_s=figures.full_in_s(used, budget.high_bytes - used),
        )

    def close(self, *, clean: bool) -> None:
        """Close the store; a clean stop keeps the log clock and marks the folder."""
        if clean:
            with contextlib.suppress(lmdb.Error), self.store.env.begin(write=True) as txn:
                self.store.set_meta(txn, "clock_ms", self.clock.now_ms())
        self.store.env.close()
        if clean:
            self.folder.mark_clean()
        self.folder.release()

    def _merge(self, effects: Effects) -> None:
        for kept, changed in ((self.lows, effects.lows), (self.replay_lows, effects.replay_lows)):
            for name, low in changed.items():
                if low is None:
                    kept.pop(name, None)
                else:
                    kept[name] = low
        for destination in effects.purged:
            self.held.pop(destination, None)
        for destination, (count, size) in effects.held.items():
            before_count, before_size = self.held.get(destination, (0, 0))
            self.held[destination] = (before_count + count, before_size + size)

    def _limit(self, effects: Effects) -> int:
        """Blocks up to this sequence are read by all who count."""
        lows = {**self.lows, **effects.lows}
        replays = {**self.replay_lows, **effects.replay_lows}
        names = self.active if self.active is not None else [name for name, low in lows.items() if low is not None]
        cursors = [lows.get(name) or 0 for name in names] + [low for low in replays.values() if low is not None]
        cursors += list(self.pins.values())
        return min(cursors, default=self.last_sequence)

"""The product, sabotaged on purpose: negative controls of the crash proof. It lives here and nowhere else.

Usage: python sabotage.py MODE run ...

    early_ack   acknowledges before it commits: an append answers at once and reaches the log 0.2 s later
    no_lanes    every event is a person of its own
    no_progress cursors are never saved after the first time
    no_outcome  what became of an event can never be saved
    late_hold   putting events into a held queue takes longer than a re-load waits for it
    unwaited_graph      destinations do not wait until the graph has read an event, and the graph is slow
    renamed_people      a person is called otherwise in every life of the process
    forgotten_ids       one id in ten never reaches the graph's file
    reordered_minting   the number of a person depends on when the graph read the event
    untold_joins        deliveries do not learn that people are joined or split
    cursor_first        a warehouse's cursor is committed before the rows
    rows_first          rows are committed before the warehouse's cursor, and are added where they should be merged
"""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from appliance.__main__ import main
from appliance.core.errors import Overloaded
from appliance.deliver.instance import Instance
from appliance.deliver.outcome import Result
from appliance.identity.person import Names
from appliance.identity.stitch import Stitcher
from appliance.identity.store import Store
from appliance.process.identify import Identifier
from appliance.process.resolve import IdResolver, Resolution, Resolver
from appliance.sdk import Load, Table
from appliance.wal.log import Appended, Log
from appliance.wal.transaction import Transaction
from appliance.wal.types import Block

LATE_S = 0.2
LATE_HOLD_S = 3.0
HALFWAY_S, HALFWAY_DEATHS, DIED = 0.2, 3, "died"


def early_ack() -> None:
    append: Any = Log.append

    def append_late(self: Log, records: list[Any]) -> "asyncio.Future[Appended]":
        loop = asyncio.get_running_loop()
        loop.call_later(LATE_S, append, self, records)
        answer: asyncio.Future[Appended] = loop.create_future()
        answer.set_result(Appended(len(records), 0))
        return answer

    Log.append = append_late  # type: ignore[method-assign]


def no_lanes() -> None:
    def resolve(self: Resolver, block: Block) -> Resolution:
        return Resolution([f"a:{record.sequence}" for record in block.records], [])

    IdResolver.resolve = Identifier.resolve = resolve  # type: ignore[method-assign]


def no_progress() -> None:
    save: Any = Transaction.save_progress

    def save_once(self: Transaction, destination: str, progress_: Any) -> None:
        if progress_.low == 0:
            save(self, destination, progress_)

    Transaction.save_progress = save_once  # type: ignore[method-assign]


def no_outcome() -> None:
    save: Any = Transaction.save_progress

    def refuse(self: Transaction, destination: str, progress_: Any) -> None:
        if progress_.low:
            raise Overloaded("no room", 1)
        save(self, destination, progress_)

    Transaction.save_progress = refuse  # type: ignore[method-assign]


def late_hold() -> None:
    hold: Any = Transaction.hold

    def hold_late(self: Transaction, jobs: list[Any]) -> None:
        time.sleep(LATE_HOLD_S)
        hold(self, jobs)

    Transaction.hold = hold_late  # type: ignore[method-assign]


def unwaited_graph() -> None:
    turn: Any = Identifier._turn

    def slow_turn(self: Identifier) -> bool:
        time.sleep(LATE_S)
        return bool(turn(self))

    Identifier._turn = slow_turn  # type: ignore[method-assign]
    Identifier.reach = property(lambda self: self._log.last_sequence)  # type: ignore[method-assign, assignment]


def renamed_people() -> None:
    name: Any = Names._text
    Names._text = lambda self, number: f"{os.getpid():08x}{name(self, number)[8:]}"  # type: ignore[method-assign]


def forgotten_ids() -> None:
    put: Any = Store.put_ids

    def put_most(self: Store, rows: Any) -> None:
        put(self, [row for row in rows if random.random() < 0.9])

    Store.put_ids = put_most  # type: ignore[method-assign]


def reordered_minting() -> None:
    number: Any = Stitcher.next_number

    def late_number(self: Stitcher) -> int:
        return int(number(self)) + (int(time.time() * 10) % 7 << 8)

    Stitcher.next_number = late_number  # type: ignore[method-assign]


def untold_joins() -> None:
    resolve: Any = Identifier.resolve
    Identifier.resolve = lambda self, block: Resolution(resolve(self, block).lanes, [])  # type: ignore[method-assign]
    Identifier.changes = lambda self, after, upto: []  # type: ignore[method-assign]


def cursor_first() -> None:
    _load_in_two(lambda load: (_changed(load, tables=[]), _changed(load, last_sequence=0)))


def rows_first() -> None:
    def added(table: Table) -> Table:
        return _changed(table, mode="append", key=()) if table.mode == "newest" else table

    def halves(load: Load) -> tuple[Load, Load]:
        rows = _changed(load, last_sequence=0, tables=[added(table) for table in load.tables])
        return rows, _changed(load, tables=[])

    _load_in_two(halves)


def _load_in_two(halves: Callable[[Load], tuple[Load, Load]]) -> None:
    """Two transactions where one is due, a moment apart; the first processes in a folder are killed in that moment."""
    load: Any = Instance.load

    async def load_in_two(self: Instance, whole: Load) -> Result:
        first, second = halves(whole)
        result: Result = await load(self, first)
        if result.kind == "succeeded":
            await asyncio.sleep(HALFWAY_S)
            _die_some_times()
            result = await load(self, second)
        return result

    Instance.load = load_in_two  # type: ignore[method-assign]


def _die_some_times() -> None:
    died = Path(DIED)
    times = int(died.read_text()) if died.exists() else 0
    if times < HALFWAY_DEATHS:
        died.write_text(str(times + 1))
        os.kill(os.getpid(), signal.SIGKILL)


def _changed(struct: Any, **fields: Any) -> Any:
    return msgspec.structs.replace(struct, **fields)


if __name__ == "__main__":
    modes = (
        early_ack, no_lanes, no_progress, no_outcome, late_hold,
        unwaited_graph, renamed_people, forgotten_ids, reordered_minting, untold_joins,
        cursor_first, rows_first,
    )  # fmt: skip
    {mode.__name__: mode for mode in modes}[sys.argv.pop(1)]()
    sys.exit(main())

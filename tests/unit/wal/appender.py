"""A process that appends to a log and prints what was acknowledged: `appender.py FOLDER SEED [WINDOW]`.

Standard output: `try ID` before an append, `ack ID` after its future, `refused ID`, `failed REASON`; ends on a failed log or a closed input.
"""

import asyncio
import random
import sys
from pathlib import Path

import uvloop

from appliance.core.clock import SystemClock
from appliance.core.config import WalConfig
from appliance.core.errors import LogFailed, Overloaded
from appliance.core.event import Record
from appliance.wal.log import Log, Progress

MIB = 1 << 20


async def main(folder: Path, seed: int, window: int) -> int:
    choose = random.Random(seed)
    config = WalConfig(disk_bytes_max=1024 * MIB, ballast_bytes=MIB)
    log = Log.open(folder, config, SystemClock())
    loop = asyncio.get_running_loop()
    log.start(loop)
    loop.add_reader(sys.stdin, lambda: None if sys.stdin.readline() else workers.cancel())
    print("ready", flush=True)

    async def worker(name: int) -> None:
        number = 0
        while log.failed is None:
            number += 1
            ids = [f"{seed}-{name}-{number}-{each}" for each in range(choose.choice([1, 1, 3, 40]))]
            sys.stdout.write("".join(f"try {id_}\n" for id_ in ids))
            sys.stdout.flush()
            futures = []
            try:
                futures += [log.append([_record(id_, choose) for id_ in ids])]
                if choose.random() < 0.3:  # the same again, before the first is on disk: acknowledged no sooner
                    futures.append(log.append([_record(id_, choose) for id_ in ids]))
                for future in reversed(futures):
                    await future
                    sys.stdout.write("".join(f"ack {id_}\n" for id_ in ids))
                    sys.stdout.flush()
                if choose.random() < 0.2:
                    low = log.last_sequence // 2
                    log.write(lambda transaction, low=low: transaction.save_progress("crm", Progress(low)), soon=True)
            except Overloaded as error:
                await asyncio.gather(*futures, return_exceptions=True)
                print(f"refused {ids[0]} {error.reason}", flush=True)
                await asyncio.sleep(0.02)
            except LogFailed:
                await asyncio.gather(*futures, return_exceptions=True)
                return

    workers = asyncio.gather(*[worker(name) for name in range(window)])
    try:
        await workers
    except asyncio.CancelledError:
        pass
    if log.failed is not None:
        print(f"failed {log.failed}", flush=True)
    await log.stop()
    return 5 if log.failed else 0


def _record(id_: str, choose: random.Random) -> Record:
    raw = b'{"n":"%s"}' % choose.randbytes(choose.choice([20, 400, 3000])).hex().encode()
    return Record(0, "web", 1, "", "track", "anna", "", id_, "", 0, raw)


if __name__ == "__main__":
    sys.exit(uvloop.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 8)))

"""Runs the benches, prints the table, writes `build/bench.json`. A missed figure is said to be missed.

Exit codes: 0 all ran (met or not), 1 a bench failed to run, 2 bad usage or a tool is missing.
"""

import argparse
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.bench import collector, delivery, endurance, figures, identity, matching, operations, storage, warehouse
from tests.bench.figures import Figure
from tests.bench.stand import Bench
from tests.bench.tools import MissingTool

BENCHES: dict[str, Callable[[Bench], list[Figure]]] = {
    "single": collector.single,
    "batch": collector.batch,
    "commit": storage.commit,
    "device": storage.device,
    "drain": delivery.drain,
    "latency": delivery.latency,
    "idle": endurance.idle,
    "chain": endurance.chain,
    "dead": endurance.dead,
    "overview": operations.overview,
    "tail": operations.tail,
    "console": operations.console,
    "identity-ids": identity.ids,
    "identity-shapes": identity.shapes,
    "identity-rate": identity.rate,
    "matching": matching.matching,
    "warehouse-duckdb": warehouse.embedded,
    "warehouse-postgres": warehouse.server,
    "warehouse-beside": warehouse.beside,
}
GROUPS = {group: [name for name in BENCHES if name.startswith(f"{group}-")] for group in ("identity", "warehouse")}
"""Names that stand for several."""


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "--only",
        action="append",
        choices=[*BENCHES, *GROUPS],
        metavar="NAME",
        help=f"one of {', '.join(BENCHES)}, or {', '.join(GROUPS)} for all that begin so; repeatable",
    )
    parser.add_argument("--quick", action="store_true", help="short loads: for trying the bench, not for figures")
    parser.add_argument(
        "--seconds",
        type=float,
        help="duration of the long benches, chain and dead (default 600; 20 with --quick) and identity-rate (at most 300)",
    )
    parser.add_argument(
        "--out", type=Path, help="where the list goes (default build/bench.json; with --quick build/bench-quick.json)"
    )
    options = parser.parse_args(arguments)
    out = options.out or (figures.FILE.with_name("bench-quick.json") if options.quick else figures.FILE)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=out.parent)).resolve()
    bench = Bench(folder, options.quick, options.seconds or (20.0 if options.quick else 600.0))
    try:
        names = [name for wanted in options.only or BENCHES for name in GROUPS.get(wanted, [wanted])]
        done, failed = run(names, bench, out)
    except MissingTool as missing:
        print(missing, file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"\n{figures.table(done)}\n\n{sum(f.met is False for f in done)} figures missed; {out}")
    return 1 if failed else 0


def run(names: list[str], bench: Bench, out: Path) -> tuple[list[Figure], list[str]]:
    """Run the named benches one after another; a failure of one does not stop the next."""
    done: list[Figure] = []
    failed: list[str] = []
    for name in names:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            fresh = BENCHES[name](bench)
        except MissingTool:
            raise
        except Exception:
            traceback.print_exc()
            failed.append(name)
            continue
        figures.save(fresh, out)
        done += fresh
        print(figures.table(fresh), file=sys.stderr, flush=True)
    return done, failed


if __name__ == "__main__":
    sys.exit(main())

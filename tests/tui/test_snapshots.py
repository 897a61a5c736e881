"""What every screen looks like at three sizes; STERNPOST_SNAPSHOT_UPDATE=1 writes the snapshots anew.

Each is kept as text, to be read, and as a picture (SVG), for colours and weights; those at 100x30 are the ones of the
documentation. Clocks and data are fixed, and nothing is asked but what a test asks for, so that a difference is a change of
the look.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tui.conftest import Desk, Started
from tui.keys import PAGES

SNAPSHOTS = Path(__file__).with_name("snapshots")
DOCUMENTED, DOCUMENTED_SIZE = Path(__file__).parents[2] / "docs" / "console", (100, 30)
SIZES = [(80, 24), (100, 30), (140, 45)]
READY = {
    "overview": "█",
    "tail": '"total": 12.5',
    "destinations": "next try in 8.0 s",
    "people": "m-0009",
    "dead": "HTTP/1.1 503",
    "log": "40 %",
    "config": "What collect.listen is for.",
    "audit": "mia",
}
DIALOGUES = {
    "purge": (("5", "a", "P"), "Type edge-7 to go on"),
    "drain": (("3", "D"), "Held events"),
    "replay": (("3", "R"), "events at most"),
    "diff": (("7", "l"), "crm2.example"),
    "way": (("2", "w"), "collected 3 s ago"),
    "edit": (("5", "E"), "ctrl+s goes on"),
    "help": (("5", "question_mark"), "Everywhere"),
    "errors": (("3", "v", "v"), "overloaded"),
    "queue": (("3", "v"), "u42"),
    "merges": (("4", "s"), "undone by"),
    "undo": (("4", "s", "U"), "One person becomes 2"),
    "logs": (("8", "s"), "breaker_opened"),
}
"""Dialogues and second views: the keys to them, and what shows that they are there."""


def compared(path: Path, shown: str) -> None:
    """With the stored one, or stored."""
    shown = "\n".join(line.rstrip() for line in shown.splitlines()) + "\n"
    if os.environ.get("STERNPOST_SNAPSHOT_UPDATE"):
        SNAPSHOTS.mkdir(exist_ok=True)
        path.write_text(shown, encoding="utf-8")
    assert path.exists(), f"{path.name} is missing; STERNPOST_SNAPSHOT_UPDATE=1 writes it"
    assert shown == path.read_text(encoding="utf-8"), "another look; STERNPOST_SNAPSHOT_UPDATE=1 keeps it"


def picture(desk: Desk) -> str:
    """The screen as SVG; without the fonts, which would come from another host."""
    return re.sub(r"@font-face \{.*?\}\s*", "", desk.svg(), flags=re.DOTALL)


async def settled(desk: Desk) -> None:
    """Wait until the screen has stood still for a while."""
    before, same = "", 0
    while same < 4:
        await desk.pilot.pause(0.05)
        now = desk.screen()
        before, same = now, same + 1 if now == before else 0


async def at(desk: Desk, page: str) -> None:
    """Go to a screen and have it show its data."""
    await desk.sees("● live")
    if page == "overview":
        for _ in range(8):  # What a sparkline is drawn of.
            desk.api.pass_a_second()
            asked = desk.api.asked.count("/v1/overview")
            desk.app.refresh_soon()
            await desk.until(lambda before=asked: desk.api.asked.count("/v1/overview") > before)
            await desk.until(lambda: not desk.app.asking)
    else:
        await desk.press(str(list(PAGES).index(page) + 1))
    if page == "people":
        await desk.press("slash", "u", "4", "2", "enter")
    await desk.sees(READY[page])
    await settled(desk)


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("page", PAGES)
async def test_screens(start: Callable[..., Started], page: str, size: tuple[int, int]) -> None:
    async with start(size=size, refresh_s=3_600, monotonic_s=lambda: 1.0) as desk:
        await at(desk, page)
        name = f"{page}-{size[0]}x{size[1]}"
        compared(SNAPSHOTS / f"{name}.txt", desk.screen())
        compared(DOCUMENTED / f"{page}.svg" if size == DOCUMENTED_SIZE else SNAPSHOTS / f"{name}.svg", picture(desk))


@pytest.mark.parametrize("dialogue", DIALOGUES)
async def test_dialogues(start: Callable[..., Started], dialogue: str) -> None:
    pressed, ready = DIALOGUES[dialogue]
    async with start(size=(80, 24), refresh_s=3_600, monotonic_s=lambda: 1.0) as desk:
        page = list(PAGES)[int(pressed[0]) - 1]
        await at(desk, page)
        await desk.press(*pressed[1:])
        await desk.sees(ready)
        await settled(desk)
        compared(SNAPSHOTS / f"{dialogue}.txt", desk.screen())


@pytest.mark.parametrize("theme", ["sternpost-light", "ansi-dark"])
async def test_other_themes_say_the_same(start: Callable[..., Started], theme: str) -> None:
    """States are told by glyph and word, not by colour alone, so the text is the same in any theme."""
    async with start(size=(80, 24), refresh_s=3_600, monotonic_s=lambda: 1.0, theme=theme) as desk:
        await at(desk, "destinations")
        stored = (SNAPSHOTS / "destinations-80x24.txt").read_text(encoding="utf-8")
        assert "\n".join(line.rstrip() for line in desk.screen().splitlines()) + "\n" == stored

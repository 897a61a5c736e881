"""The frame around the screens: staleness, focus, rights, rebinding, palette, help, themes, the mouse."""

import asyncio
from collections.abc import Callable

import pytest
from textual.events import AppBlur, AppFocus

from tests.tui.conftest import Desk, Started
from tests.tui.fake_api import HOSTILE, NOW_MS, FakeApi, destination
from tui.screens.help import Help
from tui.themes import DARK, LIGHT, PLAIN
from tui.widgets import Line, PageName

Start = Callable[..., Started]


async def test_a_bad_answer_is_an_answer(start: Start, api: FakeApi) -> None:
    async with start(size=(80, 24), refresh_s=0.05) as desk:
        await desk.sees("● live")
        asked = len(api.asked)
        api.fault = 503
        await desk.sees("a fault for the test")
        assert "● live" in desk.screen()
        api.fault = 0
        await desk.until(lambda: "a fault for the test" not in desk.screen())
        assert len(api.asked) > asked


async def test_stale_data_is_dimmed_and_its_age_shown_until_somebody_answers(start: Start, api: FakeApi) -> None:
    now_s = [1_000.0]
    async with start(size=(80, 24), monotonic_s=lambda: now_s[0], refresh_s=0.05) as desk:
        await desk.sees("● live")
        fresh, status = brightness(desk, "#body"), brightness(desk, "#status")
        api.answers.clear()
        asked = len(api.asked)
        await desk.until(lambda: len(api.asked) > asked, "a question that nobody answers; those before it are answered")
        now_s[0] += 12.0
        await desk.sees("○ stale, 12 s old")
        await desk.until(lambda: brightness(desk, "#body") < 0.7 * fresh, "the figures are dim")
        assert brightness(desk, "#status") > 0.9 * status, "what says so is not"
        api.answers.set()
        await desk.sees("● live")
        await desk.until(lambda: brightness(desk, "#body") == fresh, "the figures are bright again")


def brightness(desk: Desk, selector: str) -> int:
    """Of the brightest cell that a part of the screen really shows, 0 to 255."""
    screen = desk.app.screen
    region = screen.query_one(selector).region
    colours = [
        style.color.get_truecolor()
        for y in range(region.y, region.bottom)
        for x in range(region.x, region.right)
        if (style := screen.get_style_at(x, y)).color
    ]
    return max(max(colour) for colour in colours)


async def test_an_appliance_that_goes_away_is_looked_for_with_backoff(start: Start, api: FakeApi) -> None:
    now_s = [1_000.0]
    async with start(size=(100, 30), monotonic_s=lambda: now_s[0], refresh_s=0.05) as desk:
        await desk.sees("● live")
        url, desk.app.client.url = desk.app.client.url, "http://127.0.0.1:9"
        await desk.until(lambda: desk.app.freshness.failing, "a failure")
        now_s[0] += 12.0
        await desk.sees("○ stale, 12 s old")
        await desk.until(lambda: desk.app.screen.has_class("-stale"))
        assert desk.app.screen.query_one("#body").styles.opacity < 1
        await desk.sees("next try in")
        desk.app.client.url = url

        def live_after_a_while() -> bool:
            now_s[0] += 0.2
            return "● live" in desk.screen()

        await desk.until(live_after_a_while, "the console is live again")
        assert not desk.app.screen.has_class("-stale")


async def test_a_wrong_token_says_so_and_that_nothing_is_known(start: Start, api: FakeApi) -> None:
    async with start(token="another") as desk:
        await desk.sees("✗ token refused  the token is wrong; next try in")
        await desk.sees("the token is refused: q leaves; start again with the one in admin.token")
        await desk.press("down", "s")
        assert "nothing is ill" not in desk.screen() and "connecting" not in desk.screen()


@pytest.mark.parametrize(
    ("role", "read_only", "said"),
    [
        ("viewer", False, "pause needs the role operator;"),
        ("viewer", True, "pause: this console was started"),
    ],
)
async def test_a_key_that_is_not_allowed_says_why(
    start: Start, api: FakeApi, role: str, read_only: bool, said: str
) -> None:
    api.role = role
    async with start(size=(140, 45), read_only=read_only, keymap={"pause": "u"}) as desk:
        await desk.sees("● live")
        await desk.press("u")
        await desk.sees(said)
        assert not api.acted


async def test_a_refused_reload_is_told_on_overview_and_config(start: Start, api: FakeApi) -> None:
    fault = f"/etc/sternpost/sternpost.toml:12: destinations.crm.url: no text {HOSTILE}"
    api.refused_reload = {"when_ms": NOW_MS - 120_000, "file": "/etc/sternpost.toml", "faults": [fault, "another"]}
    api.destinations = [destination("crm")]
    words = "re-load refused 2 min ago, the running configuration stays: /etc/sternpost/sternpost.toml:12"
    async with start(size=(140, 45)) as desk:
        await desk.sees(words)
        await desk.go("7", words)
        assert "\x1b[31m" not in desk.screen()


async def test_a_destination_that_does_not_run_says_what_to_do(start: Start, api: FakeApi) -> None:
    api.destinations = [destination("own", state="stopped", next_step="mend the plug-in mine", last_error="line 2")]
    async with start() as desk:
        await desk.sees("■ stopped")
        await desk.go("3", "mend the plug-in mine")


async def test_nothing_is_asked_without_focus(start: Start, api: FakeApi) -> None:
    async with start(refresh_s=0.05) as desk:
        await desk.go("2", "following")
        await desk.until(lambda: api.tail_open == 1)
        desk.app.post_message(AppBlur())
        await desk.until(lambda: api.tail_open == 0, "the tail has ended")
        asked = len(api.asked)
        for _ in range(10):
            await desk.pilot.pause(0.05)
        assert len(api.asked) == asked
        desk.app.post_message(AppFocus())
        await desk.until(lambda: api.tail_open == 1, "the tail goes on")


@pytest.mark.parametrize(
    ("role", "read_only", "offered"),
    [
        ("viewer", False, set()),
        ("operator", False, {"requeue"}),
        ("admin", False, {"requeue", "edit", "purge"}),
        ("admin", True, set()),
    ],
)
async def test_only_what_the_token_may_is_offered(
    start: Start, api: FakeApi, role: str, read_only: bool, offered: set[str]
) -> None:
    api.role = role
    async with start(read_only=read_only) as desk:
        await desk.go("5", "12 dead letters")
        footer = desk.screen().rstrip().splitlines()[-1]
        assert {word for word in ("requeue", "edit", "purge") if word in footer} == offered
        for key in ("R", "E", "P"):
            await desk.press(key)
            await desk.pilot.pause(0.1)
            if len(desk.app.screen_stack) > 1:
                await desk.press("escape")
        assert api.acted == []
        if not offered:
            await desk.go("3", "health of a webhook")
            await desk.press("p", "r")
            await asyncio.sleep(0.2)
            assert api.acted == []


async def test_without_the_right_no_payload_and_words_that_say_so(start: Start, api: FakeApi) -> None:
    api.payloads = False
    async with start() as desk:
        await desk.go("5", "12 dead letters")
        await desk.sees("no right to")
        await desk.go("2", "following")
        await desk.until(lambda: any("payload=0" in asked for asked in api.asked))


async def test_users_rebind_keys(start: Start, api: FakeApi) -> None:
    async with start(keymap={"pause": "f5"}) as desk:
        await desk.sees("▲ open")
        await desk.press("p")
        assert api.acted == []
        await desk.press("f5")
        await desk.until(lambda: api.acted)
        assert api.acted[0].path == "/v1/destinations/crm/pause"
        assert "f5 pause" in desk.screen().lower()
        await desk.press("question_mark")
        await desk.sees("f5 ")


@pytest.mark.parametrize("opener", ["colon", "ctrl+p"])
async def test_the_palette_has_the_keys_of_the_screen(start: Start, api: FakeApi, opener: str) -> None:
    async with start() as desk:
        await desk.sees("▲ open")
        await desk.press(opener)
        await desk.until(lambda: len(desk.app.screen_stack) > 1)
        await desk.type("pause")
        await desk.sees("positions and queues are kept")
        await desk.pilot.pause(0.3)
        await desk.press("enter")
        await desk.until(lambda: api.acted)
        assert api.acted[0].path == "/v1/destinations/crm/pause"


async def test_help_lists_the_keys(start: Start) -> None:
    async with start(size=(100, 45)) as desk:
        await desk.go("5", "12 dead letters")
        await desk.press("question_mark")
        await desk.sees("delete dead letters for good  (admin)")
        await desk.press("escape")
        await desk.until(lambda: not isinstance(desk.app.screen, Help))


async def test_themes_take_turns(start: Start) -> None:
    async with start() as desk:
        await desk.sees("● live")
        seen = [desk.app.theme]
        for _ in range(3):
            await desk.press("t")
            seen.append(desk.app.theme)
        assert seen == [DARK, LIGHT, PLAIN, DARK]


async def test_the_mouse_goes_to_screens(start: Start) -> None:
    async with start(size=(80, 24)) as desk:
        await desk.sees("● live")
        names = list(desk.app.screen.query(PageName))
        await desk.pilot.click(names[4])
        await desk.sees("12 dead letters")


async def test_a_message_of_the_api_is_inert(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.sees("● live")
        api.fault = 500
        desk.app.refresh_soon()
        await desk.sees("a fault for the test \\x1b[31mred")
        assert HOSTILE not in desk.app.screen.query_one("#trouble", Line).plain


async def test_an_older_appliance_without_the_new_resources_is_served_too(
    start: Start, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = {"/v1/whoami", "/v1/config", "/v1/logs", "/v1/people"}
    resources = {path: answer for path, answer in api._resources().items() if path not in missing}
    monkeypatch.setattr(api, "_resources", lambda: resources)
    for one in api.destinations:
        for later in ("delivered_per_s", "failed_5m", "kind", "sources", "last_error_ms"):
            del one[later]
    async with start() as desk:
        await desk.sees("● live")
        await desk.press("7")
        await desk.sees("there is no such resource")
        await desk.go("1", "Last error")
        await desk.press("p")
        await desk.until(lambda: api.acted)

"""Each screen under a pilot: keys act, and the admin API is asked for just that."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tui.conftest import Desk, Started
from tests.tui.fake_api import HOSTILE, FakeApi, destination, event, setting
from tui.screens.confirm import Confirm
from tui.screens.edit import Edit
from tui.screens.overview import OverviewPage
from tui.widgets import Rows

Start = Callable[..., Started]


# 1 Overview ------------------------------------------------------------------------------------------------------


async def test_overview_shows_what_is_ill_first_and_pauses(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.sees("HTTP 503 Service Unavailable")
        assert desk.app.screen.query_one("#destinations", Rows).row_keys[0] == "crm"
        await desk.sees("14 min oldest")
        await desk.press("p")
        await desk.until(lambda: api.acted)
        assert api.acted[0].path == "/v1/destinations/crm/pause"
        assert len(api.acted[0].key) == 32
        await desk.press("r")
        await desk.until(lambda: len(api.acted) == 2)
        assert api.acted[1].path == "/v1/destinations/crm/resume" and api.acted[1].key != api.acted[0].key


async def test_a_row_that_moves_keeps_the_cursor(start: Start, api: FakeApi) -> None:
    """Two keys in a row act on one destination, though the first has it sorted elsewhere."""
    async with start() as desk:
        await desk.sees("HTTP 503 Service Unavailable")
        await desk.press("p")
        await desk.until(lambda: api.acted)
        api.destinations[:] = [
            destination("ads", state="open"),
            *api.destinations[:1],
            destination("crm", state="paused"),
        ]
        desk.app.refresh_soon()
        table = desk.app.screen.query_one("#destinations", Rows)
        await desk.until(lambda: table.row_keys[0] == "ads")
        await desk.press("r")
        await desk.until(lambda: len(api.acted) == 2)
        assert [one.path for one in api.acted] == ["/v1/destinations/crm/pause", "/v1/destinations/crm/resume"]


@pytest.mark.parametrize("size", [(80, 24), (140, 45)])
async def test_overview_pauses_sources_and_rotates_keys(start: Start, api: FakeApi, size: tuple[int, int]) -> None:
    async with start(size=size) as desk:
        await desk.sees("▲ open")
        await desk.press("s")
        await desk.sees("cameras")
        await desk.press("p")
        await desk.until(lambda: api.acted)
        assert api.acted[0].path == "/v1/sources/web/pause"
        await desk.press("K")
        await desk.sees("812,345")
        await desk.press("Y")
        await desk.until(lambda: len(api.acted) == 2)
        assert api.acted[1].path == "/v1/sources/web/rotate-key"
        await desk.sees("wk_new")


async def test_a_write_key_of_the_file_is_not_ours_to_rotate(
    start: Start, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = setting("sources.web.write_key", "***", line=31)
    monkeypatch.setattr(api, "settings", lambda: [key])
    async with start(size=(140, 45)) as desk:
        await desk.sees("▲ open")
        await desk.press("s", "K")
        await desk.sees("/etc/sternpost/sternpost.toml, line 31")
        assert not isinstance(desk.app.screen, Confirm) and not api.acted


async def test_overview_filters(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.sees("warehouse-feed")
        await desk.press("slash")
        await desk.type("open")
        await desk.press("enter")
        table = desk.app.screen.query_one("#destinations", Rows)
        await desk.until(lambda: table.row_keys == ["crm"])
        await desk.press("escape")
        await desk.until(lambda: len(table.row_keys) == 4, "the filter is gone")


async def test_only_cells_that_changed_are_touched(start: Start, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    async with start() as desk:
        await desk.sees("18,614")
        touched, rebuilt = [], []
        table = desk.app.screen.query_one("#destinations", Rows)
        update, clear = table.update_cell, table.clear

        def noting_update(row: str, column: str, value: object) -> None:
            touched.append((row, column))
            update(row, column, value)  # type: ignore[arg-type]

        monkeypatch.setattr(table, "update_cell", noting_update)
        monkeypatch.setattr(table, "clear", lambda **given: rebuilt.append(given) or clear(**given))
        api.destinations[1]["lag_events"] = 20_000
        desk.app.refresh_soon()
        await desk.sees("20,410")
        assert set(touched) == {("crm", "queued")}
        assert not rebuilt


async def test_at_most_200_rows(start: Start, api: FakeApi) -> None:
    api.destinations = [destination(f"d{number:03}") for number in range(450)]
    async with start() as desk:
        await desk.sees("the 200 most ill of 450 destinations")
        assert desk.app.screen.query_one("#destinations", Rows).row_count == 200
        await desk.go("3", "health of a webhook")
        table = desk.app.screen.query_one("#list", Rows)
        await desk.press("right_square_bracket")
        await desk.until(lambda: table.row_keys[0] == "d200")
        await desk.press("right_square_bracket")
        await desk.until(lambda: table.row_keys[0] == "d400" and table.row_count == 50)
        await desk.press("left_square_bracket")
        await desk.until(lambda: table.row_keys[0] == "d000")
    assert any("limit=200&after=d199" in asked for asked in api.asked)


# 2 Tail ----------------------------------------------------------------------------------------------------------


async def test_tail_follows_freezes_and_filters(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("2", "following")
        await desk.sees("shows 1 in 4")
        await desk.sees('"total": 12.5')
        await desk.press("down")
        await desk.sees("frozen")
        await desk.press("f")
        await desk.sees("following")
        await desk.press("o", "o")
        await desk.sees("HTTP/1.1 503 Service")
        assert any("point=processed" in asked for asked in api.asked)
        await desk.press("slash")
        await desk.type("type:track")
        await desk.press("enter")
        await desk.until(lambda: any("point=delivered&query=type:track" in asked for asked in api.asked))
        await desk.go("1", "Last error")
        await desk.until(lambda: api.tail_open == 0, "a tail that nobody sees ends")


async def test_a_delivered_success_says_why_there_is_no_sample(start: Start, api: FakeApi) -> None:
    api.tail = [event(1, state="succeeded", destination="crm", attempts=1, took_ms=3.0, reason="", sample="")]
    async with start(size=(140, 45)) as desk:
        await desk.go("2", "following")
        await desk.press("o", "o")
        await desk.sees("samples are kept of")


async def test_tail_tells_the_way_of_an_event(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("2", "u5")
        await desk.press("w")
        await desk.sees("collected 3 s ago")
        assert "/v1/events/m-0000" in api.asked
        await desk.press("escape")
        await desk.sees("following")


async def test_copying(start: Start) -> None:
    async with start() as desk:
        await desk.go("2", "u5")
        await desk.press("y")
        assert json.loads(desk.app.clipboard)["properties"] == {"total": 12.5, "n": 0}


# 3 Destinations --------------------------------------------------------------------------------------------------


async def test_destinations_show_health_queue_errors_and_config(start: Start, api: FakeApi) -> None:
    async with start(size=(140, 45)) as desk:
        await desk.go("3", "next try in 8.0 s")
        await desk.press("v")
        await desk.sees("u42")
        await desk.press("v")
        await desk.sees("HTTP/1.1 503")
        await desk.press("v")
        await desk.until(lambda: " url " in desk.screen() and " token " in desk.screen())
        assert "destinations.crm" not in desk.screen(), "what all keys begin with is left out"
        assert "***" in desk.screen()
        await desk.press("p")
        await desk.until(lambda: api.acted)
        assert api.acted[0].path == "/v1/destinations/crm/pause"


async def test_destinations_drain_asks_and_expects(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("3", "next try in 8.0 s")
        await desk.press("D")
        await desk.sees("Held events   410")
        assert "People        23" in desk.screen() and "14 min ago" in desk.screen()
        await desk.press("enter")
        await desk.until(lambda: not isinstance(desk.app.screen, Confirm))
        assert api.acted == [], "Enter falls on Cancel"
        await desk.press("D")
        await desk.sees("Held events   410")
        await desk.press("Y")
        await desk.until(lambda: api.acted)
        assert (api.acted[0].path, api.acted[0].body) == ("/v1/destinations/crm/drain", {"expect": 410})
        await desk.sees("23 people tried again now")


async def test_destinations_forget_asks_for_the_name(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("3", "health of a webhook")
        desk.app.screen.query_one("#list", Rows).go_to("old-ads")
        await desk.pilot.pause()
        await desk.press("F")
        await desk.sees("Held events   7")
        await desk.type("old")
        await desk.press("enter")
        assert isinstance(desk.app.screen, Confirm) and api.acted == []
        await desk.type("-ads")
        await desk.press("enter")
        await desk.until(lambda: api.acted)
        assert (api.acted[0].path, api.acted[0].body) == ("/v1/destinations/old-ads/forget", {"expect": 7})


async def test_destinations_replay(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("3", "next try in 8.0 s")
        await desk.press("R")
        await desk.sees("812,345 events at most")
        await desk.press("enter")
        await desk.until(lambda: api.acted)
        body = api.acted[0].body
        assert (api.acted[0].path, body["destination"]) == ("/v1/replays", "crm")
        assert body["to_ms"] - body["from_ms"] == 3_600_000
        await desk.sees("crm#2 began")


async def test_a_hostile_name_is_one_segment_of_a_path(start: Start, api: FakeApi) -> None:
    api.destinations = [destination(f"../x y/{HOSTILE}")]
    async with start() as desk:
        await desk.go("3", "health of a webhook")
        await desk.press("p")
        await desk.until(lambda: api.acted)
        assert api.acted[0].path.startswith("/v1/destinations/..%2Fx%20y%2F%1B%5B31m")
        assert api.acted[0].path.endswith("end/pause")


# 4 People --------------------------------------------------------------------------------------------------------


async def test_people_are_found_by_any_id(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("4", "press / and give any id")
        await desk.press("slash")
        await desk.type("a b&c")
        await desk.press("enter")
        await desk.sees("1 person")
        assert any(asked.startswith("/v1/people?id=a") and "%26c" in asked for asked in api.asked)
        await desk.sees("older ones were not looked at")
        await desk.sees("anonymous_id")
        await desk.sees("◐ held")
        await desk.press("tab", "tab", "tab", "w")
        await desk.sees("collected 3 s ago")


async def searched(desk: Desk) -> None:
    """A person found, and all of them shown."""
    await desk.go("4", "press / and give any id")
    await desk.press("slash", "u", "enter")
    await desk.sees("anonymous_id")


async def test_a_person_has_ids_of_all_types_and_merges(start: Start, api: FakeApi) -> None:
    async with start(size=(140, 45)) as desk:
        await searched(desk)
        for words in (
            "email",
            "phone",
            "(hidden)",
            "device_id:kiosk  shared by 5",
            "left out",
            "user_id:u7",
            "undone by an operator",
        ):
            await desk.sees(words)
        assert api.asked.count("/v1/people/u42") == 1, "it is asked for once per search"


async def test_without_a_person_graph_what_was_found_is_shown(start: Start, api: FakeApi) -> None:
    api.ids_total = 0
    async with start() as desk:
        await desk.go("4", "press / and give any id")
        await desk.press("slash", "u", "enter")
        await desk.sees("anonymousId")
        await desk.press("s", "U")
        await desk.sees("there is no merge to undo here")
        assert "/v1/people/u42" not in api.asked and api.acted == []


async def test_a_merge_is_undone_after_a_question_that_says_who_is_parted(start: Start, api: FakeApi) -> None:
    async with start(size=(80, 24)) as desk:
        await searched(desk)
        await desk.press("U")
        await desk.sees("choose a merge, then press U again")
        await desk.press("U")
        await desk.sees("One person becomes 2 people: user_id:u42")
        await desk.press("escape")
        await desk.sees("nothing was done")
        assert api.acted == []
        await desk.press("U")
        await desk.sees("One person becomes 2 people")
        looks = api.asked.count("/v1/people/u42")
        await desk.press("Y")
        await desk.until(lambda: api.acted)
        assert [(one.path, one.body) for one in api.acted] == [("/v1/people/undo", {"merge": "17"})] and api.acted[
            0
        ].key
        await desk.until(lambda: api.asked.count("/v1/people/u42") > looks, "another look at the person")
        await desk.until(lambda: not desk.app.asking)
        await desk.press("down", "U")
        await desk.sees("merge 9 holds no more: undone by")
        assert len(api.acted) == 1


async def test_who_may_not_undo_is_told(start: Start, api: FakeApi) -> None:
    api.role = "viewer"
    async with start() as desk:
        await searched(desk)
        await desk.press("s", "U")
        await desk.sees("operator")
        assert api.acted == []


async def test_a_queue_leads_to_its_person(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("3", "next try in 8.0 s")
        await desk.press("v")
        await desk.sees("u42")
        desk.app.screen.query_one("#queue").focus()
        await desk.press("enter")
        await desk.sees("1 person")
        assert "/v1/people?id=u42" in api.asked


# 5 Dead letters --------------------------------------------------------------------------------------------------


async def test_dead_letters_marked_one_by_one_are_requeued(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("5", "12 dead letters")
        await desk.press("space", "space")
        await desk.sees("2 marked")
        await desk.press("R")
        await desk.sees("Dead letters  2")
        assert "People        2" in desk.screen()
        await desk.press("Y")
        await desk.until(lambda: api.acted)
        assert api.acted[0].body == {"ids": [1, 2], "expect": 2}
        assert api.acted[0].path == "/v1/dead/requeue" and api.acted[0].key
        await desk.until(lambda: "marked" not in desk.screen())


async def test_all_that_match_are_purged_after_typing_the_name(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("5", "12 dead letters")
        await desk.press("slash")
        await desk.type("dest:ads")
        await desk.press("enter")
        await desk.sees(" 1 dead letter ")
        await desk.press("a", "P")
        await desk.sees("Type ads to go on")
        await desk.type("adz")
        await desk.press("enter")
        assert api.acted == [] and isinstance(desk.app.screen, Confirm)
        await desk.press("backspace")
        await desk.type("s")
        await desk.press("enter")
        await desk.until(lambda: api.acted)
        assert (api.acted[0].path, api.acted[0].body) == ("/v1/dead/purge", {"query": "dest:ads", "expect": 1})


async def test_of_several_destinations_the_name_is_the_appliance(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("5", "12 dead letters")
        await desk.press("a", "P")
        await desk.sees("Type edge-7 to go on")
        assert "Dead letters  12" in desk.screen()
        await desk.press("escape")
        await desk.sees("nothing was done")
        assert api.acted == []


async def test_a_changed_count_asks_again_with_the_fresh_one(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("5", "12 dead letters")
        api.changed_to = 9
        await desk.press("a", "R")
        await desk.sees("Dead letters  12")
        await desk.press("Y")
        await desk.sees("It has changed: there are 9 dead letters now")
        await desk.sees("Dead letters  9")
        await desk.press("Y")
        await desk.until(lambda: len(api.acted) == 2)
        assert [one.body["expect"] for one in api.acted] == [12, 9]
        assert api.acted[0].key != api.acted[1].key


async def test_an_answer_that_is_lost_is_asked_for_again_under_the_same_key(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("5", "12 dead letters")
        api.lost_answers = 2
        await desk.press("R")
        await desk.sees("Dead letters  1")
        await desk.press("Y")
        await desk.sees("1 dead letter back in their queues")
        assert len(api.acted) == 3 and len({one.key for one in api.acted}) == 1


async def test_an_edited_copy_takes_the_letters_place(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("5", "12 dead letters")
        await desk.press("E")
        await desk.until(lambda: isinstance(desk.app.screen, Edit))
        area = desk.app.screen.query_one("#event")
        area.text = "{broken"  # type: ignore[attr-defined]
        await desk.press("ctrl+s")
        await desk.sees("this is no JSON object")
        area.text = '{"messageId": "m-0001", "total": 13.10}'  # type: ignore[attr-defined]
        await desk.press("ctrl+s")
        await desk.sees("Requeue the edited event?")
        await desk.press("Y")
        await desk.until(lambda: api.acted)
        assert api.acted[0].path == "/v1/dead/1/requeue"
        assert api.acted[0].body == {"event": {"messageId": "m-0001", "total": 13.1}, "expect": 1}


@pytest.mark.parametrize(("marked", "ids"), [(0, list(range(1, 13))), (2, [1, 2])])
async def test_export(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marked: int, ids: list[int]
) -> None:
    monkeypatch.chdir(tmp_path)
    async with start() as desk:
        await desk.go("5", "12 dead letters")
        await desk.press(*["space"] * marked, "x")
        await desk.sees(f"{len(ids)} dead letters in")
    (path,) = tmp_path.glob("sternpost-dead-*.ndjson")
    assert [json.loads(line)["id"] for line in path.read_text().splitlines()] == ids
    assert path.stat().st_mode & 0o777 == 0o600


# 6 Log and warehouse ---------------------------------------------------------------------------------------------


async def test_log_shows_replays_and_cancels_them(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("6", "full in 3.2 d")
        await desk.sees("40 %")
        await desk.press("C")
        await desk.sees("Events left at most  600")
        await desk.press("Y")
        await desk.until(lambda: api.acted)
        assert (api.acted[0].path, api.acted[0].body) == ("/v1/replays/crm%231/cancel", {})
        api.replays[0].update(events_left=100, delivered=900)
        desk.app.refresh_soon()
        await desk.sees("90 %")
        api.replays = []
        desk.app.refresh_soon()
        await desk.sees("no replay is under way")


# 7 Config --------------------------------------------------------------------------------------------------------


async def test_config_is_searched_and_reloaded_after_a_look_at_the_difference(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("7", "destinations.crm.url")
        await desk.press("slash")
        await desk.type("crm token")
        await desk.press("enter")
        await desk.sees("1 of 5 keys")
        await desk.sees("What destinations.crm.token is for.")
        await desk.press("l")
        await desk.sees("https://crm2.example/hook")
        assert "takes effect at the next start" in desk.screen()
        assert api.acted == []
        await desk.press("y")
        await desk.until(lambda: api.acted)
        assert api.acted[0].path == "/v1/reload"
        await desk.sees("re-loaded: crm: url")


async def test_a_long_key_keeps_its_end(start: Start, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [f"destinations.a-rather-long-name-of-a-warehouse.{end}" for end in ("retry.delay_min", "retry.delay_max")]
    monkeypatch.setattr(api, "settings", lambda: [setting(key, 1) for key in keys])
    async with start(size=(80, 24)) as desk:
        await desk.go("7", "warehouse.retry.delay_min")
        await desk.sees("warehouse.retry.delay_max")


async def test_a_file_with_faults_is_not_offered(start: Start, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = {"line": 7, "key": "destinations.crm.urll", "message": "there is no such key", "hint": "url?"}
    monkeypatch.setattr(api, "diff", lambda: {"file": "x.toml", "changes": [], "faults": [fault]})
    async with start() as desk:
        await desk.go("7", "destinations.crm.url")
        await desk.press("l")
        await desk.sees("line 7: destinations.crm.urll: there is no such key")
        await desk.press("y", "enter", "escape")
        await desk.sees("about this key")
        assert api.acted == []


# 8 Audit and logs ------------------------------------------------------------------------------------------------


async def test_audit_and_logs(start: Start, api: FakeApi) -> None:
    async with start() as desk:
        await desk.go("8", "dead.purge")
        await desk.sees("mia")
        await desk.press("s")
        await desk.sees("breaker_opened")
        await desk.press("slash")
        await desk.type("info")
        await desk.press("enter")
        await desk.until(lambda: "breaker_opened" not in desk.screen())
        api.log_lines.append({**api.log_lines[1], "id": 3, "event": "destination_paused"})
        desk.app.refresh_soon()
        await desk.sees("destination_paused")
        assert any(asked.startswith("/v1/logs?after=2") for asked in api.asked), "only what is new is asked for"


# Hostile names ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", list("12345678"))
async def test_hostile_names_are_inert_on_every_screen(start: Start, api: FakeApi, key: str) -> None:
    async with start(size=(140, 45)) as desk:
        await desk.sees("● live")
        await desk.press(key)
        if key == "4":
            await desk.press("slash", "x", "enter")
        if key == "8":
            await desk.press("s")
        if key != "6":  # The log's own screen shows nothing that came from an event.
            await desk.sees("\\x1b[31m")
        shown = desk.screen()
        assert not {"\x1b", "\x07", "\u202e", "\u2066", "\u2028"} & set(shown)
        assert isinstance(desk.app.screen, OverviewPage) == (key == "1")

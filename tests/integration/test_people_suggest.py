"""Who may be one, on the real process: found, listed, accepted, rejected; found again, and not what was decided."""

import json
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import client
from appliance.identity.matching.suggest import Candidate
from tests.integration.test_cli_terminal import Terminal
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.likely_people import People, people
from tests.support.sink import Sink
from tests.support.waiting import until, until_enough
from tests.support.wire import Wire

MakeAppliance = Callable[..., Appliance]
MakeSink = Callable[..., Sink]
NAMES = {"first_name": "firstName", "last_name": "lastName"}
ADDRESS = {"street": "street", "city": "city", "postcode": "postalCode", "country": "country"}
ANN = {"firstName": "Ann", "lastName": "Abernathy", "birthday": "1980-02-03", "address": {"postalCode": "12345"}}


def identify(one: Candidate) -> dict[str, Any]:
    """As an SDK sends it."""
    traits: dict[str, Any] = {NAMES.get(name, name): values[0] for name, values in one.traits.items()}
    traits["address"] = {ADDRESS[name]: traits.pop(name) for name in ADDRESS if name in traits}
    return {"type": "identify", "userId": one.person, "anonymousId": f"browser of {one.person}", "traits": traits}


def send(appliance: Appliance, events: list[dict[str, Any]]) -> None:
    with Wire(appliance.port, WRITE_KEY) as wire:
        assert wire.post("/v1/batch", json.dumps({"batch": events}).encode()).text == "ok"
    last = f"user_id:{events[-1]['userId']}"
    until(lambda: appliance.admin(f"/v1/people?id={last}&events=0")["people"])


def two(one: dict[str, Any]) -> tuple[str, str]:
    """The userIds of a suggestion, in order."""
    first, second = sorted(one[side]["id"]["value"] for side in "ab")
    return first, second


def listed(appliance: Appliance, state: str = "open") -> dict[tuple[str, str], dict[str, Any]]:
    found = appliance.json("people", "suggestions", "--state", state, "--limit", "1000")
    return {two(one): one for one in found["suggestions"]}


@pytest.fixture(scope="module")
def known() -> People:
    """FEBRL-like people with typos; a fifth of them is there twice."""
    return people(150, duplicates=30, seed=11)


def test_people_who_may_be_one_are_found_decided_about_and_not_found_again(
    make_appliance: MakeAppliance, make_sink: MakeSink, known: People
) -> None:
    sink = make_sink(bodies=True)
    appliance = make_appliance({"destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    send(appliance, [identify(one) for one in known.candidates])
    found = appliance.json("people", "suggest")["suggestions"]
    right = [one for one in found if two(one) in known.same]
    assert len(right) >= 0.7 * len(known.same) and len(right) >= 0.9 * len(found), (len(right), len(found))
    assert listed(appliance) == {two(one): one for one in found}
    assert all(one["weight"] >= other["weight"] for one, other in pairwise(found))
    shown = appliance.sternpost("people", "suggestions", "--limit", "3")
    assert "NUMBER" in shown.stdout and found[0]["a"]["id"]["value"] in shown.stdout, shown.stderr
    numbers = appliance.sternpost("completion", "suggestions").stdout.split()
    assert numbers == [str(one["number"]) for one in found[:100]]
    assert found[0]["why"][0] in shown.stdout and f"--after {found[2]['number']}" in shown.stderr

    accepted, rejected = right[0], right[1]
    _accept_on_a_terminal(appliance, accepted)
    done = appliance.sternpost("people", "reject", str(rejected["number"]))
    assert done.returncode == 0 and "not suggested again" in done.stdout, done.stderr

    send(appliance, [{"type": "track", "event": "Later", "userId": user} for user in two(accepted) + two(rejected)])
    later = until_enough(
        lambda: [one for one in sink.arrivals() if one.event == "Later"], lambda found: len(found) == 4
    )
    bodies = [json.loads(one.body) for one in later]
    person = {one["userId"]: one["context"]["sternpost"]["personId"] for one in bodies}
    assert len({person[user] for user in two(accepted)}) == 1 and len({person[user] for user in two(rejected)}) == 2

    appliance.kill()
    appliance.start()
    again = Terminal(appliance, "people", "suggest")
    assert again.end(timeout_s=100.0) == 0, again.seen
    for words in ("fetching people", "weighing", "people accept NUMBER", "1 rejected or parted before"):
        assert words in again.seen, again.seen
    now, before = set(listed(appliance)), {two(one) for one in found}
    assert not {two(accepted), two(rejected)} & now
    assert len(now & before) >= 0.9 * (len(before) - 2), "the others are found again"
    assert listed(appliance, "rejected").keys() == {two(rejected)}
    assert listed(appliance, "accepted").keys() == {two(accepted)}
    _is_audited(appliance, accepted, rejected)


def _accept_on_a_terminal(appliance: Appliance, one: dict[str, Any]) -> None:
    number = str(one["number"])
    unasked = appliance.sternpost("people", "accept", number)
    assert unasked.returncode == 2 and "repeat with --yes" in unasked.stderr, unasked.stderr
    terminal = Terminal(appliance, "people", "accept", number)
    question = " ".join(terminal.wait("[y/N]").split())
    for words in ("Make one person of", *two(one), f"anonymous_id:browser of {two(one)[0]}", one["why"][0]):
        assert words in question, question
    terminal.type("y\r")
    assert terminal.end() == 0 and "they are one person from here on" in terminal.seen
    twice = appliance.sternpost("people", "accept", number, "--yes")
    assert twice.returncode == 1 and "was accepted already" in twice.stderr


def _is_audited(appliance: Appliance, accepted: dict[str, Any], rejected: dict[str, Any]) -> None:
    done, looks = appliance.audited()
    acts = [(one["what"], one["target"].partition(" ")[0]) for one in done if one["what"].startswith("people.")]
    assert acts.count(("people.accept", str(accepted["number"]))) == 1
    assert acts.count(("people.reject", str(rejected["number"]))) == 1
    assert sum(what == "people.suggest" for what, _ in acts) == 2
    fetched = [(one.get("outcome", "done"), one.get("count", 0)) for one in looks if one["what"] == "people.candidates"]
    assert [outcome for outcome, _ in fetched] == ["begun", "done"] * 2 and fetched[1][1] == 180, fetched


def test_a_link_that_a_limit_forbids_stays_open_and_says_why(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance({"identity": {"ids": {"user_id": {"most": 1}}}})
    appliance.start()
    send(appliance, [{"type": "identify", "userId": user, "traits": ANN} for user in ("u1", "u2")])
    body = {"a": ["user_id", "u1"], "b": ["user_id", "u2"], "probability": 1.0, "weight": 9.0, "why": []}
    assert appliance.admin("/v1/people/suggestions", {"pairs": [body], "first": True})["taken"] == 1
    number = str(listed(appliance)["u1", "u2"]["number"])
    refused = appliance.sternpost("people", "accept", number, "--yes")
    assert refused.returncode == 1 and "more ids of one type than a person may have" in refused.stderr
    assert listed(appliance).keys() == {("u1", "u2")}
    for action in ("accept", "reject"):
        nobody = appliance.sternpost("people", action, "99", *(["--yes"] if action == "accept" else []))
        assert nobody.returncode == 1 and "there is no suggestion 99" in nobody.stderr
    appliance.admin("/v1/people/suggestions", {"pairs": [], "first": True})
    gone = appliance.sternpost("people", "reject", number)
    assert gone.returncode == 1 and "not found again by a newer search" in gone.stderr
    assert "nobody to decide about" in appliance.sternpost("people", "suggestions").stdout


def test_what_keeps_a_search_from_finding_anything_is_said(make_appliance: MakeAppliance, tmp_path: Path) -> None:
    appliance = make_appliance({"identity": {"keep_traits": False}})
    appliance.start()
    send(appliance, [{"type": "identify", "userId": f"u{number}", "traits": ANN} for number in range(3)])
    empty = appliance.sternpost("people", "suggest")
    assert empty.returncode == 1 and "Nothing to suggest: 0 people have names" in empty.stderr, empty.stderr
    for wrong in (("--threshold", "1"), ("--threshold", "x"), ("--limit", "0")):
        assert appliance.sternpost("people", "suggest", *wrong).returncode == 2
    (tmp_path / "without").mkdir()
    (tmp_path / "without" / "splink.py").write_text("raise ImportError('there is no splink', name='splink')\n")
    appliance.env["PYTHONPATH"] = f"{tmp_path / 'without'}:{appliance.env['PYTHONPATH']}"
    missing = appliance.sternpost("people", "suggest")
    assert missing.returncode == 1 and "pip install 'sternpost[match]'" in missing.stderr, missing.stderr


def test_long_and_hostile_words_keep_nobody_from_a_search(make_appliance: MakeAppliance, known: People) -> None:
    """What people say of themselves comes from browsers: whatever it is, the others are found all the same."""
    appliance = make_appliance()
    appliance.start()
    odd = ["\U0001f9d1" * 199, "\x1b[31m" + "\u202e" * 150, "'; DROP TABLE people; --", "[red]x[/red]\r\n"]
    twins = [
        {"type": "identify", "userId": f"odd{number}-{twin}", "traits": {
            "firstName": f"{number}{odd[number % 4]}", "lastName": odd[number % 4], "birthday": f"19{number}-02-03",
            "address": {"street": f"{number} {odd[number % 4]}", "city": odd[number % 4], "postalCode": f"{number:05}"},
        }}
        for number in range(10, 90) for twin in "ab"
    ]  # fmt: skip
    for start in range(0, len(twins), 40):
        send(appliance, twins[start : start + 40])
    send(appliance, [identify(one) for one in known.candidates])
    done = appliance.sternpost("people", "suggest", timeout_s=100.0)
    assert done.returncode == 0 and not set("\x1b\u202e") & set(done.stdout), done.stderr
    assert len(listed(appliance).keys() & known.same) >= 0.6 * len(known.same)


def test_candidates_are_all_people_with_all_that_their_ids_have_said(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance()
    appliance.start()
    chance = random.Random(4)
    users = [f"u{number}" for number in range(1200)]
    events = [{"type": "identify", "anonymousId": f"a-{user}", "traits": {"firstName": user}} for user in users]
    events += [
        {"type": "identify", "anonymousId": f"a-{user}", "userId": user, "traits": {"lastName": "Lee"}}
        for user in users
    ]
    chance.shuffle(events)
    for start in range(0, len(events), 400):
        with Wire(appliance.port, WRITE_KEY) as wire:
            assert wire.post("/v1/batch", json.dumps({"batch": events[start : start + 400]}).encode()).text == "ok"
    send(appliance, [{"type": "track", "event": "E", "userId": "last"}])
    fetched = [json.loads(line) for line in client.find(appliance.data).stream("/v1/people/candidates")]
    assert {one["id"][1]: one["traits"] for one in fetched} == {
        user: {"first_name": [user], "last_name": ["Lee"]} for user in users
    }
    assert len(fetched) == len({one["person"] for one in fetched}) == 1200


def test_without_the_graph_it_is_said(make_appliance: MakeAppliance) -> None:
    appliance = make_appliance({"identity": {"enabled": False}})
    appliance.start()
    for arguments in (("suggest",), ("suggestions",), ("accept", "1", "--yes"), ("reject", "1")):
        done = appliance.sternpost("people", *arguments)
        assert done.returncode == 1 and "there is no person graph" in done.stderr, (arguments, done.stderr)

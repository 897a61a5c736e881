"""Look-ups on a real graph: by any id and its spellings, by a person's present and former ids, all that is told of them."""

import random
from typing import Any

import pytest

from appliance.identity import lookup, parting
from appliance.identity.rules import Id
from appliance.identity.stitch import REASONS, SHARED, UNIQUE
from tests.support.graph import LOG, STARTED_MS, Fed

ANN = {"type": "identify", "anonymousId": "a1", "userId": "ann", "traits": {"email": " Ann@Example.com "}}
BOB = {"type": "identify", "anonymousId": "b1", "userId": "bob", "traits": {"email": "bob@example.com"}}
BAD_ALIAS = {"type": "alias", "userId": "ann", "previousId": "bob"}


@pytest.mark.parametrize(
    ("asked", "type", "matched"),
    [
        ("ann", "", [Id("user_id", "ann")]),
        ("ann", "user_id", [Id("user_id", "ann")]),
        ("ann", "userId", [Id("user_id", "ann")]),
        ("user_id:ann", "", [Id("user_id", "ann")]),
        ("userId:ann", "", [Id("user_id", "ann")]),
        ("ANN@example.COM", "", [Id("email", "ann@example.com")]),
        ("email: Ann@example.com", "", [Id("email", "ann@example.com")]),
        (" a1 ", "", [Id("anonymous_id", "a1")]),
        ("ann", "email", ValueError("'ann' is no e-mail address")),
        ("", "user_id", ValueError("'' is empty")),
        ("null", "user_id", ValueError("'null' is blocked: it is nobody's id")),
        ("ann", "?", ValueError("'?' is no type of ids")),
        ("null", "", []),
        ("ann", "anonymous_id", []),
        ("ann", "loyalty", []),
        ("Ann", "", []),
        ("web", "", []),
        ("web:ann", "", []),
        ("x" * 1000, "", []),
        (":", "", []),
        ("'; DROP TABLE ids; --", "", []),
    ],
)
def test_somebody_is_found_by_any_id(fed: Fed, asked: str, type: str, matched: Any) -> None:
    (ann,) = fed.feed(ANN)
    if isinstance(matched, ValueError):
        with pytest.raises(ValueError, match="^" + str(matched).replace("?", r"\?")):
            fed.lookup.find(asked, type)
        return
    found = fed.lookup.find(asked, type)
    assert [(one.person, one.ids) for one in found] == ([(ann, matched)] if matched else [])


def test_one_value_may_be_ids_of_several_people(fed: Fed) -> None:
    one, two = fed.feed({"userId": "7"}, {"anonymousId": "7"})
    found = {one.person: one.ids for one in fed.lookup.find("7")}
    assert found == {one: [Id("user_id", "7")], two: [Id("anonymous_id", "7")]}
    assert fed.who("anonymous_id", "7") == two


def test_a_person_is_found_by_their_own_id_and_by_those_of_whom_they_became(fed: Fed) -> None:
    ann, bob, both = fed.feed(ANN, BOB, BAD_ALIAS)
    assert both in (ann, bob) and ann != bob
    for name in (ann, bob, ann.upper()):
        assert [one.person for one in fed.lookup.find(name)] == [both]
        person = fed.lookup.person(name)
        assert person is not None and person.person == both and person.was == [{ann: bob, bob: ann}[both]]
    for nobody in ("", "ann", "00000000-0000-8000-8000-000000000000", ann[:-1] + ("0" if ann[-1] != "0" else "1")):
        assert fed.lookup.person(nobody) is None
    (alone,) = fed.feed({"userId": "null"})  # a person of a single event: nothing of theirs is known
    assert fed.lookup.person(alone) is None and fed.lookup.find(alone) == []


def test_all_is_told_of_a_person(fed: Fed) -> None:
    later = STARTED_MS + 3 * 86_400_000
    (ann,) = fed.feed({**ANN, "timestamp": "2030-03-17T17:46:30.000Z"})
    fed.feed(
        {"anonymousId": "a1", "userId": "ann", "received_ms": later},
        {"anonymousId": "a1", "userId": "eve", "received_ms": later + 1000},
    )
    person = fed.lookup.person(ann)
    assert person is not None
    shared, day = False, STARTED_MS // 86_400_000
    assert {member.id: member[1:] for member in person.members} == {
        Id("user_id", "ann"): (STARTED_MS + 1000, day + 3, 2, shared, 0),
        Id("email", "ann@example.com"): (STARTED_MS + 1000, day, 1, shared, 1),
        Id("anonymous_id", "a1"): (STARTED_MS + 1000, day + 3, 1, shared, 2),
    }
    assert {(link.one.value, link.other.value) for link in person.links} == {("ann", "a1"), ("ann", "ann@example.com")}
    assert all(
        (link.reason, link.message_id, link.source, link.explicit, link.version) == ("", "m1", "web", False, 1)
        for link in person.links
    )
    assert {link.event_ms for link in person.links} == {STARTED_MS - 10_000}
    (left,) = person.left_out
    assert (left.one, left.other, left.message_id) == (Id("anonymous_id", "a1"), Id("user_id", "eve"), "m3")
    assert "unique" in left.reason and left.person == fed.who("user_id", "eve") != ann
    assert person.left_out_count == 1 and person.devices == [] and person.merges == [] and person.forbidden == []
    eve = fed.lookup.person(left.person)
    assert eve is not None and [(one.one, one.other, one.person) for one in eve.left_out] == [
        (Id("user_id", "eve"), Id("anonymous_id", "a1"), ann)
    ]


def test_a_shared_device_and_its_people_name_each_other(fed: Fed) -> None:
    device = {"context": {"device": {"id": "kiosk"}}}
    people = fed.feed(*({"userId": f"u{number}", **device} for number in range(5)))
    assert len(set(people)) == 5
    kiosk = fed.who("device_id", "kiosk")
    shown = fed.lookup.person(kiosk)
    assert shown is not None and [member.id for member in shown.members] == [Id("device_id", "kiosk")]
    assert shown.members[0].shared and shown.members[0].users == 5
    assert {link.person for link in shown.left_out} == set(people)
    for name in people:
        person = fed.lookup.person(name)
        assert person is not None
        assert [(member.id, member.shared, who) for member, who in person.devices] == [
            (Id("device_id", "kiosk"), True, kiosk)
        ]
        (link,) = person.left_out
        assert link.reason in (REASONS[UNIQUE], REASONS[SHARED]), "as it was when they were first seen together"


def test_merges_are_told_with_what_made_them_and_what_ended_them(fed: Fed) -> None:
    ann, bob, both, _, _ = fed.feed(ANN, BOB, BAD_ALIAS, {"anonymousId": "a2"}, {"anonymousId": "a2", "userId": "ann"})
    loser = {ann: bob, bob: ann}[both]
    newer, merge = fed.lookup.merges(10)
    assert (newer.name, newer.winner, newer.ended) == ("5", both, "")
    assert (merge.name, merge.sequence, merge.loser, merge.winner) == ("3", 3, loser, both)
    assert (merge.when_ms, merge.message_id, merge.source, merge.ended) == (STARTED_MS + 3000, "m3", "web", "")
    assert set(merge.ids) == {Id("user_id", "ann"), Id("user_id", "bob")}
    assert fed.lookup.merges(1) == [newer] and fed.lookup.merges(10, "5") == [merge]
    assert fed.lookup.merge("3") == merge and fed.lookup.merge("4") is None
    with pytest.raises(ValueError, match="'x' is no merge"):
        fed.lookup.merge("x")
    shown = fed.lookup.person(both)
    assert shown is not None and shown.merges == [newer, merge]

    assert fed.act(undo="3").changed
    ended = merge._replace(ended="undone by an operator")
    assert fed.lookup.merge("3") == ended
    assert fed.lookup.merges(10) == [newer], "the other merge of theirs holds still"
    assert fed.lookup.merges(10, ended=True) == [newer, ended]
    for name in (ann, bob):
        person = fed.lookup.person(name)
        assert person is not None and person.person == name and ended in person.merges, name
    assert fed.ids(fed.who("user_id", "bob")) != fed.ids(fed.who("user_id", "ann"))

    fed.act(allow=(Id("user_id", "ann"), Id("user_id", "bob")))
    fed.feed({**BAD_ALIAS, "messageId": "again"})
    again = fed.lookup.merges(1)[0]
    assert (again.message_id, again.ended) == ("again", "")
    assert fed.lookup.merge("3").ended == "undone by an operator"  # type: ignore[union-attr]


def test_forbidden_pairs_are_told(fed: Fed) -> None:
    ann, bob = fed.feed(ANN, BOB)
    one, two = Id("user_id", "ann"), Id("email", "bob@example.com")
    fed.act(forbid=(one, two))
    for name, pair in ((ann, (one, two)), (bob, (two, one))):
        person = fed.lookup.person(name)
        assert person is not None and person.forbidden == [pair]


def test_what_an_undo_or_a_forbid_would_do_is_what_they_do(fed: Fed) -> None:
    fed.feed(ANN, BOB, BAD_ALIAS, {"anonymousId": "b1", "userId": "bob", "context": {"device": {"id": "phone-1"}}})
    one, two = Id("user_id", "ann"), Id("email", "bob@example.com")
    for ask, act in (
        (lambda: parting.of_merge(fed.lookup, "3"), {"undo": "3"}),
        (None, {"allow": (one, Id("user_id", "bob"))}),
        (None, {"link": (one, Id("user_id", "bob"))}),
        (lambda: parting.of_pair(fed.lookup, one, two), {"forbid": (one, two)}),
    ):
        foreseen = ask() if ask else []
        assert fed.act(**act).changed
        assert len(foreseen) == (2 if ask else 0)
        for group in foreseen:
            people = {fed.who(*id) for id in group}
            assert len(people) == 1 and sorted(fed.ids(*people)) == sorted(group)
    apart = parting.of_pair(fed.lookup, one, two)
    assert [sorted(group) for group in apart] == [sorted(fed.ids(fed.who(*id))) for id in (one, two)]


def test_what_an_act_would_do_is_what_it_does_for_any_people(fed: Fed, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(12):
        for _ in range(12):
            event: dict[str, Any] = {"userId": f"u{draw.randrange(9)}", "anonymousId": f"a{draw.randrange(9)}"}
            event["traits"] = {"email": f"e{draw.randrange(9)}@example.com"}
            if draw.random() < 0.3:
                event = {"type": "alias", "userId": event["userId"], "previousId": f"u{draw.randrange(9)}"}
            elif draw.random() < 0.5:
                del event["userId"]
            fed.feed({"type": "identify", **event})
        if not (merges := fed.lookup.merges(1_000, ended=True)):
            continue
        merge = draw.choice(merges)
        if draw.random() < 0.5:
            act, ask = {"undo": merge.name}, lambda merge=merge: parting.of_merge(fed.lookup, merge.name)
        else:
            act, ask = {"forbid": merge.ids}, lambda merge=merge: parting.of_pair(fed.lookup, *merge.ids)
        try:
            foreseen = ask()
        except parting.Ended:
            assert not fed.act(**act).changed
            continue
        fed.act(**act)
        assert len(foreseen) > 1
        for group in foreseen:
            people = {fed.who(*id) for id in group}
            assert len(people) == 1 and sorted(fed.ids(*people)) == sorted(group), act


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda lookup: parting.of_merge(lookup, "9"), "there is no merge 9"),
        (lambda lookup: parting.of_merge(lookup, "nine"), "'nine' is no merge"),
        (lambda lookup: parting.of_pair(lookup, Id("user_id", "ann"), Id("user_id", "ann")), "the same id twice"),
        (
            lambda lookup: parting.of_pair(lookup, Id("user_id", "ann"), Id("email", "x@y.zz")),
            "nobody has the email x@y.zz",
        ),
    ],
)
def test_what_is_not_there_is_said(fed: Fed, ask: Any, words: str) -> None:
    fed.feed(ANN)
    with pytest.raises(ValueError, match=words):
        ask(fed.lookup)


def test_a_merge_that_ended_is_not_undone_again(fed: Fed) -> None:
    fed.feed(ANN, BOB, BAD_ALIAS)
    fed.act(undo="3")
    with pytest.raises(parting.Ended, match="merge 3 holds no more: undone by an operator"):
        parting.of_merge(fed.lookup, "3")


def test_many_left_out_links_are_counted_and_the_newest_told(fed: Fed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.identity.lookup.LINKS_MAX", 10)
    fed.feed(*({"userId": f"u{number}", "anonymousId": "kiosk"} for number in range(30)))
    shown = fed.lookup.person(fed.who("anonymous_id", "kiosk"))
    assert shown is not None and shown.left_out_count == 30
    assert [link.message_id for link in shown.left_out] == [f"m{number}" for number in range(30, 20, -1)]


def test_every_question_is_answered_by_an_index(fed: Fed) -> None:
    """No table of the graph is walked from end to end, but the few pairs that operators forbade, and rules."""
    fed.feed(*({"userId": f"u{number}", "anonymousId": f"a{number}"} for number in range(50)), BAD_ALIAS)
    fed.feed({"type": "alias", "userId": "u1", "previousId": "u2"})
    store, asked = fed.lookup.store(), set()

    def traced(_: Any, sql: str, __: Any) -> bool:
        asked.add(sql)
        return True

    store.connection.exec_trace = traced
    fed.lookup.find("u7")
    fed.lookup.person(fed.who("user_id", "u1"))
    fed.lookup.merges(5, "60")
    parting.of_pair(fed.lookup, Id("user_id", "u1"), Id("user_id", "u2"))
    store.connection.exec_trace = None
    walks = set()
    for sql in asked:
        if sql.startswith(("SAVEPOINT", "RELEASE", "EXPLAIN")):
            continue
        for *_, step in store.rows(f"EXPLAIN QUERY PLAN {sql}", *[None] * sql.count("?")):
            if step.startswith("SCAN") and "json_each" not in step and "VIRTUAL TABLE" not in step:
                walks.add(step)
    assert walks <= {"SCAN forbidden", "SCAN rules", "SCAN up", "SCAN down", "SCAN words", "SCAN CONSTANT ROW"}, walks


def test_the_log_of_a_merge_is_told(fed: Fed) -> None:
    fed.feed(ANN, BOB, BAD_ALIAS)
    assert fed.graph.store.log_ids == [LOG] and fed.lookup.merges(1)[0].log == 0


def test_of_a_hub_that_everybody_was_sent_to_the_newest_left_out_are_told_and_all_counted(fed: Fed) -> None:
    fed.feed(*({"userId": "ann", "anonymousId": f"a{n}"} for n in range(lookup.LINKS_MAX + 120)))
    found = fed.lookup.person(fed.who("user_id", "ann"))
    assert found is not None and len(found.members) == 101
    assert found.left_out_count == lookup.LINKS_MAX + 20
    assert found.left_out[0].other.value == f"a{lookup.LINKS_MAX + 119}" and len(found.left_out) == lookup.LINKS_MAX

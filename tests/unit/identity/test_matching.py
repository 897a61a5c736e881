"""People who may be one are suggested: those who are, not strangers and not households; the same every time."""

import random
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from appliance.core.errors import CannotMatch
from appliance.identity.matching import model
from appliance.identity.matching.forms import birthday_form
from appliance.identity.matching.suggest import Candidate, Suggestion, suggest
from tests.support.likely_people import People, people

STRANGE = [
    "\ud800",
    "\0",
    "'; DROP TABLE people; --",
    "🧑" * 150,
    "a" * 5000,
    "%",
    "{this}",
    "NULL",
    "\u202eevil",
    "ﬀ" * 100,
]


@pytest.fixture(scope="module")
def known() -> People:
    return people(500, duplicates=80, seed=5)


@pytest.fixture(scope="module")
def found(known: People) -> list[Suggestion]:
    return suggest(known.candidates)


def pairs(suggestions: list[Suggestion]) -> set[tuple[str, str]]:
    return {(one.a, one.b) for one in suggestions}


def person(number: int, **traits: str) -> Candidate:
    return Candidate(f"extra{number}", {name: [value] for name, value in traits.items()})


def test_who_is_one_is_found_and_hardly_anybody_else(known: People, found: list[Suggestion]) -> None:
    right = len(pairs(found) & known.same)
    assert right >= 0.85 * len(known.same), (right, len(known.same))
    assert right >= 0.97 * len(found), [one for one in found if (one.a, one.b) not in known.same]


def test_the_likeliest_come_first_and_no_more_than_asked_for(known: People, found: list[Suggestion]) -> None:
    assert [one.weight for one in found] == sorted((one.weight for one in found), reverse=True)
    assert all(0.9 <= one.probability <= 1 and one.a < one.b for one in found)
    assert suggest(known.candidates, limit=5) == found[:5]


def test_every_trait_that_both_have_is_put_into_words(known: People, found: list[Suggestion]) -> None:
    by_id = {one.person: one.traits for one in known.candidates}
    for one in found:
        said = {words.partition(":")[0] for words in one.why}
        a, b = by_id[one.a], by_id[one.b]
        if a["last_name"] == b["last_name"]:
            assert f"last name same: {a['last_name'][0].lower()}" in one.why
        assert any(words.startswith("e-mail") for words in said) == ("email" in a and "email" in b)
        readable = [birthday_form(traits.get("birthday", [""])[0]) for traits in (a, b)]
        assert any(words.startswith("birthday") for words in said) == all(readable)


def test_the_same_people_in_any_order_give_the_same_suggestions(known: People, found: list[Suggestion]) -> None:
    candidates = list(known.candidates)
    random.Random(2).shuffle(candidates)
    again = suggest(iter(candidates))
    assert pairs(again) == pairs(found)
    assert [one for one, other in zip(again, found, strict=True) if one != other] == []


def test_where_nobody_is_twice_nobody_is_suggested() -> None:
    """Two in five share a last name, an address and often a telephone with somebody; nothing else."""
    assert len(suggest(people(600, duplicates=0, seed=8).candidates)) <= 1


def test_a_household_is_not_one_person(known: People) -> None:
    home = {"last_name": "Quartermain", "phone": "+44 7700 900123", "street": "1 Elm Grove", "postcode": "00999"}
    family = [
        person(1, **home, first_name="Ann", birthday="1970-01-02"),
        person(2, **home, first_name="Robert", birthday="1968-11-23"),
        person(3, **home, first_name="Kim", birthday="2001-06-14"),
    ]
    again = person(4, **home, first_name="Anne", birthday="1970-01-02")
    mine = [
        one
        for one in suggest([*known.candidates, *family, again])
        if one.a.startswith("extra") or one.b.startswith("extra")
    ]
    assert [(one.a, one.b) for one in mine] == [("extra1", "extra4")]
    assert "first name alike: ann / anne" in mine[0].why
    assert "birthday same: 19700102" in mine[0].why


MISTAKES: list[tuple[dict[str, str], dict[str, str], str]] = [
    (
        {"first_name": "Ann", "last_name": "Quartermain", "birthday": "1970-01-02", "city": "Ely"},
        {"first_name": "Quartermain", "last_name": "Ann", "birthday": "1970-01-02", "city": "Ely"},
        "first name swapped with the last name: ann / quartermain",
    ),
    (
        {"name": "Bob Oldacre", "email": "bobo1970@example.org", "birthday": "1971-03-04"},
        {"name": "Oldacre, Bob", "email": "bob.o1970+shop@example.net", "birthday": "4.3.1971"},
        "e-mail another provider, the same name: bobo1970@example.org / bob.o1970@example.net",
    ),
    (
        {"first_name": "Cyril", "last_name": "Featherstone", "birthday": "1972-02-11", "address": "1 Elm Street"},
        {"first_name": "Cyril", "last_name": "Fetherstone", "birthday": "1972-11-02", "address": "1 Elm St."},
        "birthday alike: 19720211 / 19721102",
    ),
]


def test_mistakes_that_people_make(known: People) -> None:
    made = [
        person(2 * number + which, **MISTAKES[number][which]) for number in range(len(MISTAKES)) for which in (0, 1)
    ]
    married = [
        Candidate(
            "extra8", {"first_name": ["Dora"], "last_name": ["Oldfield", "Cantilever"], "phone": ["07700900123"]}
        ),
        Candidate("extra9", {"first_name": ["Dora"], "last_name": ["Cantilever"], "phone": ["+44 7700 900123"]}),
    ]
    suggestions = suggest([*known.candidates, *made, *married])
    mine = {one.a: one for one in suggestions if "extra" in one.a or "extra" in one.b}
    assert {(one.a, one.b) for one in mine.values()} == {(f"extra{n}", f"extra{n + 1}") for n in (0, 2, 4, 8)}
    for number, (_, _, words) in enumerate(MISTAKES):
        assert words in mine[f"extra{2 * number}"].why
    assert "last name one of several the same: cantilever" in mine["extra8"].why


def test_of_two_candidates_with_one_id_the_first_counts(known: People, found: list[Suggestion]) -> None:
    later = [Candidate(one.person, {"first_name": ["Somebody"], "last_name": ["Else"]}) for one in known.candidates]
    assert suggest([*known.candidates, *later]) == found


def test_initials_in_one_house_are_not_one_person() -> None:
    """Half of them wrote one letter: what a household shares must not turn it into a person."""
    chance, households = random.Random(4), people(700, duplicates=0, seed=21).candidates
    names = ("first_name", "last_name", "street", "postcode", "phone")
    candidates = [
        Candidate(one.person, {
            name: [value[:1] if name == "first_name" and chance.random() < 0.5 else value for value in one.traits[name]]
            for name in names
        })
        for one in households
    ]  # fmt: skip
    assert suggest(candidates) == []


def test_without_anything_personal_nobody_is_suggested(known: People) -> None:
    home = {"last_name": "Quartermain", "phone": "+44 7700 900123", "street": "1 Elm Grove", "postcode": "00999"}
    suggestions = suggest([*known.candidates, person(1, **home), person(2, **home)], threshold=1e-9, limit=100_000)
    assert ("extra1", "extra2") not in pairs(suggestions)


def test_what_is_learned_is_how_people_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not how households do: there, first names and birthdays differ and the rest agrees."""
    learned: list[model.Shares] = []
    learn = model.learn
    monkeypatch.setattr(model, "learn", lambda *given: learned.append(learn(*given)) or learned[0])
    suggest(people(1350, duplicates=150, seed=33).candidates)
    m = {name: [share for share, _ in levels] for name, levels in learned[0].items()}
    assert 0.6 < m["first name"][0] < 0.85 and m["first name"][-1] < 0.05
    assert m["birthday"][0] > 0.9 and m["birthday"][-1] < 0.02
    assert m["phone"][0] > 0.75
    assert 0.2 < m["e-mail"][1] < 0.5


def test_strange_texts_harm_nothing(known: People) -> None:
    names = ("first_name", "last_name", "email", "phone", "birthday", "street", "city", "postcode", "country", "name")
    strange = [
        Candidate(f"extra{number}{text[:9]}", {name: [text] for name in names}) for number, text in enumerate(STRANGE)
    ]
    assert pairs(suggest([*known.candidates, *strange])) & known.same


def test_a_crowd_of_one_name_is_neither_compared_with_itself_nor_in_the_way(known: People) -> None:
    """Three million pairs would share the name, the city and the telephone of a shop's till."""
    crowd = [
        person(number, first_name="Shop", last_name="Till", city="Ely", phone="0770012345")
        for number in range(2_500)
    ]  # fmt: skip
    said: list[str] = []
    suggestions = suggest([*known.candidates, *crowd], limit=10_000, progress=said.append)
    assert len(pairs(suggestions) & known.same) >= 0.8 * len(known.same)
    (compared,) = [int(words.split()[0].replace(",", "")) for words in said if "pairs share" in words]
    assert compared < 100_000


@pytest.mark.parametrize(
    ("candidates", "reason"),
    [
        ([], "0 people have names"),
        ([person(1, email="ann@example.org"), person(2, plan="gold")], "1 people have names"),
        ([person(number, email=f"ann{number}@example.org") for number in range(9)], "what two or more people have is e-mail"),
        ([person(number, last_name="Smith", phone=f"077009001{number}0") for number in range(9)], "one of them a first name"),
    ],
)  # fmt: skip
def test_too_little_to_compare_is_said(candidates: list[Candidate], reason: str) -> None:
    with pytest.raises(CannotMatch, match=reason):
        suggest(candidates)


@pytest.mark.parametrize("names", [("name", "email"), ("first_name", "birthday"), ("name", "phone", "city")])
def test_few_traits_do(names: tuple[str, ...]) -> None:
    made = people(200, duplicates=20, seed=3).candidates
    few = [
        Candidate(one.person, {
            name: one.traits.get(name, []) if name != "name" else [f"{one.traits['first_name'][0]} {one.traits['last_name'][0]}"]
            for name in names
        })
        for one in made
    ]  # fmt: skip
    assert all(0.9 <= one.probability <= 1 for one in suggest(few))


def test_strangers_who_share_no_key_are_no_suggestions() -> None:
    strangers = [
        person(1, first_name="Ann", birthday="1970-01-02"),
        person(2, first_name="Robert", birthday="1981-03-04"),
        person(3, first_name="Kim", birthday="1992-05-06"),
    ]
    assert suggest(strangers) == []


def test_what_was_written_on_the_way_is_removed(known: People, tmp_path: Path) -> None:
    seen: list[list[str]] = []
    suggest(
        known.candidates[:50], folder=tmp_path, progress=lambda _: seen.append([p.name for p in tmp_path.iterdir()])
    )
    assert all(len(names) == 1 for names in seen) and seen
    assert list(tmp_path.iterdir()) == []

    def broken() -> "list[Candidate]":
        raise KeyError("the list of people broke")

    with pytest.raises(KeyError):
        suggest((one for _ in [0] for one in broken()), folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_missing_extra_is_named() -> None:
    for library in ("splink", "duckdb", "pyarrow"):
        code = (
            f"import sys; sys.modules[{library!r}] = None\n"
            "from appliance.identity.matching.suggest import suggest\n"
            "from appliance.core.errors import CannotMatch\n"
            "try: suggest([])\n"
            "except CannotMatch as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert "sternpost[match]" in done.stdout and library in done.stdout, done.stderr


def test_another_process_suggests_the_same_and_loads_only_what_it_needs() -> None:
    """Libraries when it matches, not before; charts, data frames and drivers of other databases not even then."""
    code = (
        "import sys, msgspec\n"
        "from appliance.identity.matching.suggest import suggest\n"
        "from tests.support.likely_people import people\n"
        "assert not {'splink', 'duckdb', 'pyarrow', 'sqlglot'} & set(sys.modules)\n"
        "found = suggest(people(60, duplicates=12).candidates)\n"
        "assert not {'altair', 'pandas', 'matplotlib', 'sqlalchemy', 'pyspark'} & set(sys.modules)\n"
        "print(msgspec.json.encode(found).decode())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    said = msgspec.json.decode(done.stdout, type=list[Suggestion])
    assert said and said == suggest(people(60, duplicates=12).candidates)

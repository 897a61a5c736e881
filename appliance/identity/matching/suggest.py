"""Suggests which people may be one, from their names, addresses and the like. Only suggests: a person decides.

The work is done in DuckDB, in a folder of its own that is removed at the end, in bounded memory and on one core:

    candidates -> comparable forms and keys -> pairs that share a key -> splink: weights learned, pairs scored -> words

Nothing is fetched, and the same candidates give the same suggestions.
"""

import functools
import itertools
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from appliance.core.errors import CannotMatch
from appliance.identity.matching import model
from appliance.identity.matching.comparisons import Trait, compared
from appliance.identity.matching.forms import COLUMNS, Row, comparable

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MEMORY_MIB_MAX = 1024
PAIRS_MAX = 5_000_000
"""Pairs that are scored at most; the keys that most people share are left out first."""
KEY_PEOPLE_MAX = 100
_ROWS_AT_ONCE = 10_000
_ROUNDS = 30
_WEIGHT_LEAST = -20.0
"""Pairs below are no match, whatever the share of matches turns out to be (in bits)."""


class Candidate(msgspec.Struct, frozen=True):
    """A person with every value seen of their traits, newest first; names as `traits_of` has them."""

    person: str
    traits: dict[str, list[str]]


class Suggestion(msgspec.Struct, frozen=True):
    """Two people who may be one."""

    a: str
    b: str
    probability: float
    weight: float
    """Evidence in bits: ten more is a thousand times likelier."""
    why: list[str]
    """Trait by trait, what weighs most first: "last name alike: smith / smyth"."""


def suggest(
    candidates: Iterable[Candidate],
    *,
    threshold: float = 0.9,
    limit: int = 1000,
    progress: Callable[[str], None] | None = None,
    folder: Path | None = None,
) -> list[Suggestion]:
    """Pairs of people who are one with a probability of `threshold` or more, the likeliest first.

    A household shares a last name, an address and a telephone. So a pair is suggested only where something personal
    agrees as well: first name, birthday or e-mail.

    Args:
        candidates: the people; read once. Of two candidates with the same id the first counts.
        threshold: least probability, over 0 and below 1.
        limit: most suggestions that come back.
        progress: is told what happens, in words.
        folder: where temporary files go; they are removed again. None: where the system has them.

    Raises:
        CannotMatch: the extra `match` is not installed, or there is too little to compare; the text says what.
    """
    say = progress or _silent
    duckdb, arrow, splink = _libraries()
    room = Path(tempfile.mkdtemp(prefix="matching-", dir=folder))
    try:
        connection = _opened(duckdb, room)
        try:
            with model.quiet():
                people = _load(connection, arrow, candidates)
                say(f"{people:,} people have something to compare")
                return _Matching(connection, splink, people, say).suggestions(threshold, limit)
        finally:
            connection.close()
    finally:
        shutil.rmtree(room, ignore_errors=True)


class _Matching:
    """One run over the loaded people."""

    def __init__(self, connection: "DuckDBPyConnection", splink: Any, people: int, say: Callable[[str], None]) -> None:
        self._connection, self._splink, self._people, self._say = connection, splink, people, say
        self._all_pairs = people * (people - 1) / 2
        self._traits = self._usable()

    def suggestions(self, threshold: float, limit: int) -> list[Suggestion]:
        """The whole way from pairs to words."""
        pairs = self._pair_up()
        self._say(f"{pairs:,} pairs share something")
        if not pairs:
            return []
        matches = self._first_guess()
        prior = _between(matches / self._all_pairs)
        api = self._splink.DuckDBAPI(connection=self._connection)
        people = api.register("people", dataset_display_name="people")
        make = functools.partial(self._linker, people, prior)
        linker = make(model.learn(make, self._traits, self._people, matches, self._pairs_by, self._say))
        linker.table_management.register_blocked_pairs_for_predict(api.register("pairs"))
        self._say(f"weighing {pairs:,} pairs")
        scored = linker.inference.predict(threshold_match_weight=_WEIGHT_LEAST, warning_mode="never").physical_name
        self._judge(scored, prior)
        self._settle(prior)
        return self._chosen(threshold, limit)

    def _usable(self) -> list[Trait]:
        """The traits to compare.

        Raises:
            CannotMatch: too few people, or too few traits to tell them apart by.
        """
        if self._people < 3:
            raise CannotMatch(
                f"Nothing to suggest: {self._people} people have names, addresses or the like, and matching needs "
                "three or more. They are kept from `identify` events."
            )
        counts = ", ".join(f"count({column}), count({column}) FILTER (len({column}_all) > 1)" for column in COLUMNS)
        (row,) = self._connection.execute(f"SELECT {counts} FROM people").fetchall()
        traits = compared(dict(zip(COLUMNS, row[::2], strict=True)), dict(zip(COLUMNS, row[1::2], strict=True)))
        if len(traits) < 2 or not any(trait.personal for trait in traits):
            names = ", ".join(trait.name for trait in traits) or "nothing"
            raise CannotMatch(
                f"Nothing to suggest: what two or more people have is {names}, and matching needs two or more of first "
                "name, last name, e-mail, phone, birthday and address, one of them a first name, birthday or e-mail. "
                "Send them as traits of `identify` events."
            )
        return traits

    def _pair_up(self) -> int:
        """The pairs to score: who shares a key, unless too many people share it."""
        self._connection.execute(
            """
            CREATE TABLE keys AS SELECT number, unnest(keys) AS key FROM people;
            CREATE TABLE used AS
                WITH sizes AS (SELECT key, count(*) AS people FROM keys GROUP BY key HAVING people BETWEEN 2 AND $most)
                SELECT key, sum(people * (people - 1) / 2) OVER (ORDER BY people, key) AS pairs FROM sizes
                QUALIFY pairs <= $pairs;
            """,
            {"most": KEY_PEOPLE_MAX, "pairs": PAIRS_MAX},
        )
        self._connection.execute(
            """
            CREATE TABLE pairs AS
                SELECT DISTINCT a.number AS join_key_l, b.number AS join_key_r, '0' AS match_key
                FROM used JOIN keys a USING (key) JOIN keys b USING (key) WHERE a.number < b.number
                ORDER BY join_key_l, join_key_r;
            DROP TABLE keys;
            """
        )
        return self._number("SELECT count(*) FROM pairs")

    def _first_guess(self) -> float:
        """How many pairs are one person, as far as one sees without a model: most traits agree to the letter."""
        columns = [trait.shown[0] for trait in self._traits]
        same = " + ".join(f"coalesce(l.{column} = r.{column}, false)::int" for column in columns)
        personal = " OR ".join(f"l.{trait.shown[0]} = r.{trait.shown[0]}" for trait in self._traits if trait.personal)
        sure = self._number(
            f"SELECT count(*) FROM pairs JOIN people l ON l.number = join_key_l JOIN people r ON r.number = join_key_r "
            f"WHERE {same} >= {2 if len(columns) < 4 else 3} AND ({personal})"
        )
        return min(max(2.0 * sure, 0.005 * self._people, 1.0), self._all_pairs / 2)

    def _linker(self, people: Any, prior: float, shares: model.Shares) -> Any:
        settings = model.settings(self._traits, shares, prior)
        return self._splink.Linker(people, settings, log_level=None, validate_settings=False)

    def _pairs_by(self, column: str) -> int:
        return self._number(
            f"SELECT coalesce(sum(n * (n - 1) // 2), 0)::bigint FROM "
            f"(SELECT count(*) AS n FROM people WHERE {column} IS NOT NULL GROUP BY {column})"
        )

    def _judge(self, scored: str, prior: float) -> None:
        """Fill the table `judged`: the evidence of each pair, and its kind: which of a household's traits it shares.

        Where a pair shares some, last name, address and phone speak for one person no more, but may still speak
        against.
        """
        named = [(model.column_of(trait), trait) for trait in self._traits]
        degrees = ", ".join(
            f"gamma_{name} AS degree_{name}, {model.bits_of(trait)} AS bits_{name}" for name, trait in named
        )
        kind = " + ".join(
            f"({_stands(trait, trait.household)})::int * {2**place}"
            for place, trait in enumerate(trait for trait in self._traits if trait.household)
        )
        within = " + ".join(f"bits_{name}" if trait.personal else f"least(bits_{name}, 0)" for name, trait in named)
        personal = " OR ".join(_stands(trait, trait.personal) for trait in self._traits if trait.personal)
        self._connection.execute(
            f"""
            CREATE TABLE judged AS
                SELECT *, CASE WHEN kind = 0 THEN match_weight - $prior ELSE {within} END AS evidence
                FROM (
                    SELECT number_l, number_r, match_weight, {kind or 0} AS kind, {personal} AS personal, {degrees}
                    FROM {scored}
                )
            """,
            {"prior": _bits(prior)},
        )

    def _settle(self, prior: float) -> None:
        """Fill the table `priors`: the log odds that two people of a kind are one, before the evidence.

        Expectation maximisation of the share of matches alone. Of pairs that share a household's traits it is learned
        among themselves, since how many of them are one depends on how people live; of the others, among all pairs.
        """
        self._connection.execute("CREATE TABLE priors (kind INTEGER, bits DOUBLE)")
        kinds = self._connection.execute("SELECT kind, count(*) FROM judged WHERE kind > 0 GROUP BY kind").fetchall()
        elsewhere = 0.0
        for kind, pairs in sorted(kinds):
            share = self._share(kind, pairs + 2, 1.0, 0.5)
            elsewhere += share * pairs
            self._connection.execute("INSERT INTO priors VALUES (?, ?)", [kind, _bits(share)])
        share = self._share(0, self._all_pairs, elsewhere + 1, prior)
        self._connection.execute("INSERT INTO priors VALUES (0, ?)", [_bits(share)])

    def _share(self, kind: int, pairs: float, matches: float, share: float) -> float:
        """The share of matches among so many pairs of a kind, `matches` of them known."""
        for _ in range(_ROUNDS):
            ((found,),) = self._connection.execute(
                "SELECT coalesce(sum(1 / (1 + pow(2.0, -(evidence + ?)))), 0) FROM judged WHERE kind = ?",
                [_bits(share), kind],
            ).fetchall()
            before, share = share, _between((found + matches) / pairs)
            if abs(math.log(share / before)) < 1e-3:
                break
        return share

    def _chosen(self, threshold: float, limit: int) -> list[Suggestion]:
        """The best pairs, in words."""
        self._say("putting the likeliest into words")
        names = [model.column_of(trait) for trait in self._traits]
        degrees = ", ".join(f"degree_{name}, bits_{name}" for name in names)
        rows = self._connection.execute(
            f"SELECT number_l, number_r, evidence + bits AS weight, {degrees} FROM judged JOIN priors USING (kind) "
            "WHERE personal AND weight >= $least ORDER BY round(weight, 6) DESC, number_l, number_r LIMIT $limit",
            {"least": _bits(threshold), "limit": limit},
        ).fetchall()
        known = self._known({number for row in rows for number in row[:2]})
        return [self._worded(known[row[0]], known[row[1]], row[2], row[3:]) for row in rows]

    def _worded(self, a: dict[str, Any], b: dict[str, Any], weight: float, degrees: tuple[Any, ...]) -> Suggestion:
        said = []
        for trait, degree, bits in zip(self._traits, degrees[::2], degrees[1::2], strict=True):
            if degree < 0:
                continue
            words = trait.levels[len(trait.levels) - 1 - degree].words
            said.append((-abs(bits), f"{trait.name} {words}: {_values(trait, words, a, b)}"))
        probability = 1 / (1 + 2**-weight)
        return Suggestion(
            a["person"], b["person"], round(probability, 6), round(weight, 3), [words for _, words in sorted(said)]
        )

    def _known(self, numbers: set[int]) -> dict[int, dict[str, Any]]:
        """The people of these numbers with their values."""
        columns = ", ".join(f"{column}_all" for column in COLUMNS)
        rows = self._connection.execute(
            f"SELECT number, person, {columns} FROM people WHERE number IN (SELECT unnest($numbers))",
            {"numbers": sorted(numbers)},
        ).fetchall()
        return {row[0]: dict(zip(("person", *COLUMNS), row[1:], strict=True)) for row in rows}

    def _number(self, query: str) -> int:
        ((number,),) = self._connection.execute(query).fetchall()
        return int(number)


def _libraries() -> tuple[Any, Any, Any]:
    """DuckDB, Arrow and splink, which nothing else here needs.

    Raises:
        CannotMatch: one of them is missing.
    """
    try:
        import duckdb
        import pyarrow
        import splink
    except ImportError as error:
        raise CannotMatch(
            f"Matching needs the extra `match`, and {error.name or error} is missing. Nothing was changed. "
            "Install it: pip install 'sternpost[match]'"
        ) from error
    return duckdb, pyarrow, splink


def _opened(duckdb: Any, room: Path) -> "DuckDBPyConnection":
    """A database in a file that fetches nothing and keeps within its memory; one thread, for sums that never differ."""
    connection: DuckDBPyConnection = duckdb.connect(
        str(room / "matching.duckdb"),
        config={
            "threads": 1,
            "memory_limit": f"{MEMORY_MIB_MAX}MiB",
            "temp_directory": str(room / "spilled"),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
        },
    )
    return connection


def _load(connection: "DuckDBPyConnection", arrow: Any, candidates: Iterable[Candidate]) -> int:
    """Fill the table `people`: numbers in the order of their ids, the newest value and all values of every column."""
    texts = arrow.list_(arrow.string())
    schema = arrow.schema([("person", arrow.string()), *((column, texts) for column in (*COLUMNS, "keys"))])
    columns = ", ".join(f"{column} VARCHAR[]" for column in (*COLUMNS, "keys"))
    connection.execute(f"CREATE TABLE given (person VARCHAR, {columns})")
    rows = (row for each in candidates if (row := comparable(each.person, each.traits)) is not None)
    while some := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        connection.register("arriving", arrow.Table.from_pylist([_flat(row) for row in some], schema=schema))
        connection.execute("INSERT INTO given SELECT * FROM arriving")
        connection.unregister("arriving")
    newest = ", ".join(f"{column}[1] AS {column}, {column} AS {column}_all" for column in COLUMNS)
    connection.execute(
        f"""
        CREATE TABLE people AS
            SELECT row_number() OVER (ORDER BY person) AS number, person, keys, {newest}
            FROM (SELECT * FROM given QUALIFY row_number() OVER (PARTITION BY person ORDER BY rowid) = 1)
            ORDER BY number;
        DROP TABLE given;
        """
    )
    ((people,),) = connection.execute("SELECT count(*) FROM people").fetchall()
    return int(people)


def _flat(row: Row) -> dict[str, Any]:
    return {"person": row.person, "keys": row.keys, **{column: row.values[column] for column in COLUMNS}}


def _stands(trait: Trait, words: tuple[str, ...]) -> str:
    """SQL: whether a pair stands at one of these levels of a trait."""
    degrees = [len(trait.levels) - 1 - place for place, level in enumerate(trait.levels) if level.words in words]
    return f"gamma_{model.column_of(trait)} IN ({', '.join(map(str, degrees))})" if degrees else "false"


def _values(trait: Trait, words: str, a: dict[str, Any], b: dict[str, Any]) -> str:
    """What both have: one value where it is the same."""
    if words == "one of several the same":
        return ", ".join(value for value in a[trait.shown[0]] if value in b[trait.shown[0]])
    ours, theirs = (", ".join(one[column][0] for column in trait.shown if one[column]) for one in (a, b))
    return ours if ours == theirs else f"{ours} / {theirs}"


def _bits(probability: float) -> float:
    """Log odds to the base of two."""
    probability = _between(probability)
    return math.log2(probability / (1 - probability))


def _between(probability: float) -> float:
    return min(max(probability, 1e-12), 1 - 1e-12)


def _silent(_: str) -> None:
    """Nobody wants to know how far it is."""

"""From an event to the rows of its tables, in RudderStack's layout. Pure but for what it remembers of names.

| event | tables |
|---|---|
| track | `tracks`, and one named after the event, with its properties |
| identify | `identifies`; `users` where the userId is not blank |
| page, screen, group, alias | `pages`, `screens`, `groups`, `aliases` |
| merge | `rudder_identity_merge_rules` |

A row holds its values as they were sent; `columns.py` gives them types. Null, "" and [] are no values.

Source: contract/warehouse.md, Rows per event, Columns.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from appliance.core.event import Event
from appliance.core.id_text import clean_id
from appliance.warehouse import names
from appliance.warehouse.dialect import Dialect, Type
from appliance.warehouse.flatten import Lost, Tree, json_text
from appliance.warehouse.reading import Unmappable, read
from appliance.warehouse.types import Value, text_of

COLUMNS_MAX = 1_600
"""Most columns of one row, the load time included. Source: contract/warehouse.md, Names."""

TABLES = {"identify": "identifies", "page": "pages", "screen": "screens", "group": "groups", "alias": "aliases"}
_EXTRA = {"track": ("event", "event_text"), "page": ("name",), "screen": ("name",), "group": ("group_id",),
          "alias": ("previous_id",)}  # fmt: skip
"""Columns of ours that only these events have."""
_STRINGS = ("id", "anonymous_id", "user_id", "channel", "context_ip", "context_request_ip", "context_passed_ip")
_PLACES = ("context_source_id", "context_source_type", "context_destination_id", "context_destination_type")
_TIMES = {"sentAt": "sent_at", "timestamp": "timestamp", "receivedAt": "received_at",
          "originalTimestamp": "original_timestamp"}  # fmt: skip
LOADED_AT = "uuid_ts"
"""When the row was loaded."""

MERGE_RULES = "rudder_identity_merge_rules"
_RULE = ("merge_property_1_type", "merge_property_1_value", "merge_property_2_type", "merge_property_2_value")

DISCARDS = "rudder_discards"
DISCARDS_COLUMNS = ("table_name", "row_id", "column_name", "column_value", "reason", "received_at", LOADED_AT)

SAME_COLUMN = "another property of this event has the same column"
NO_OBJECT = "it is no object, so it has no columns"
NO_NAME = "the event has no name, so its properties have no table"
NO_RULE = "a merge needs two properties, each with a type and a value"


class TooManyColumns(Unmappable):
    """One row of the event would have more than `COLUMNS_MAX` columns."""


class Place(NamedTuple):
    """A source or a destination, as rows name it."""

    id: str
    type: str


class Row(NamedTuple):
    """One row: its table and its values by column, both as the warehouse spells them."""

    table: str
    values: dict[str, Value]


class Lack(NamedTuple):
    """A value that has no place in a row; becomes a row of `rudder_discards`."""

    table: str
    column: str
    value: Any
    reason: str


class Mapped(NamedTuple):
    """What one event comes to."""

    rows: list[Row]
    lacks: list[Lack]


class Mapper:
    """Maps the events of one destination. Not for several threads at once.

    Args:
        dialect: the kind of the warehouse.
        destination: goes into every row.
        source_types: of every source, by its name, which is its id.
        json_paths: values that stay JSON: `properties.cart` for all events, `track.properties.cart` for one type.
    """

    def __init__(
        self,
        dialect: Dialect,
        destination: Place,
        source_types: Mapping[str, str],
        json_paths: Iterable[str] = (),
    ) -> None:
        self.dialect, self._destination, self._source_types = dialect, destination, source_types
        self._paths = [tuple(path.split(".")) for path in json_paths]
        self._trees: dict[tuple[str, str], Tree] = {}
        self._own = _own_columns(dialect)
        spelled = (*own_columns("track"), *(name for extra in _EXTRA.values() for name in extra))
        self._name = {name: dialect.cased(name) for name in spelled}
        self._rule = [dialect.cased(name) for name in _RULE]
        self._strings = tuple(dialect.cased(name) for name in _STRINGS)
        self._by_source: dict[str, dict[str, Value]] = {}
        self._times = [(key, self._name[name]) for key, name in _TIMES.items()]

    def map(self, event: Event) -> Mapped:
        """The rows of an event, each with the columns it has values for.

        Raises:
            Unmappable: it has none: it is no JSON object, of no known type, or has too many columns.
        """
        given = read(event.json, holds_nul=self.dialect.holds_nul)
        lacks: list[Lack] = []
        kind = event.type
        if kind == "track":
            rows = self._track(event, given, lacks)
        elif kind == "identify":
            rows = self._identify(event, given, lacks)
        elif kind in TABLES:
            rows = [self._single(kind, event, given, lacks)]
        elif kind == "merge":
            rows = self._merge(given, lacks)
        else:
            raise Unmappable("the type of the event has no table")
        if max(map(_width, rows), default=0) > COLUMNS_MAX:
            raise TooManyColumns(f"more than {COLUMNS_MAX:,} columns")
        return Mapped(rows, lacks)

    def table(self, name: str) -> str:
        """One of our own tables as this warehouse spells it."""
        return names.standard_table(name, self.dialect)

    def own(self, table: str) -> dict[str, Type]:
        """The columns of a table that are ours, with the types that no value changes, as this warehouse spells them."""
        return self._own.get(table) or self._own[self.table("tracks")]

    def _track(self, event: Event, given: dict[str, Any], lacks: list[Lack]) -> list[Row]:
        tracks = self.table("tracks")
        common = self._standard("track", event, given, tracks, lacks)
        text = _text(given.get("event"))
        if not text:
            if properties := {key: given[key] for key in ("properties", "userProperties") if given.get(key)}:
                lacks.append(Lack(tracks, self.dialect.cased("properties"), json_text(properties), NO_NAME))
            return [Row(tracks, common)]
        name, table = _event(text, self.dialect)
        common[self._name["event_text"]], common[self._name["event"]] = text, name
        values: dict[str, Value] = {}
        self._flatten("track", "properties", given, table, values, lacks)
        self._flatten("track", "userProperties", given, table, values, lacks)
        self._put(table, values, common, lacks)
        return [Row(tracks, common), Row(table, values)]

    def _identify(self, event: Event, given: dict[str, Any], lacks: list[Lack]) -> list[Row]:
        table = self.table("identifies")
        common = self._standard("identify", event, given, table, lacks)
        values: dict[str, Value] = {}
        context = given.get("context")
        outer = context if type(context) is dict else {}
        for key, holder in (("userProperties", given), ("traits", outer), ("traits", given)):
            path = "context.traits" if holder is outer else key
            found: dict[str, Value] = {}
            self._flatten("identify", path, holder, table, found, lacks, key=key)
            values |= found  # The later of these objects counts, and that is no loss: the contract says so.
        self._put(table, values, common, lacks)
        user_id = common.get(self._name["user_id"])
        if not user_id:
            return [Row(table, values)]
        user = dict(values)
        del user[self._name["user_id"]]
        user.pop(self._name["anonymous_id"], None)
        user.pop(self._name["channel"], None)
        user[self._name["id"]] = user_id
        return [Row(table, values), Row(self.table("users"), user)]

    def _single(self, kind: str, event: Event, given: dict[str, Any], lacks: list[Lack]) -> Row:
        table = self.table(TABLES[kind])
        common = self._standard(kind, event, given, table, lacks)
        values: dict[str, Value] = {}
        if kind in ("group", "alias"):
            self._flatten(kind, "traits", given, table, values, lacks)
            key, column = ("groupId", "group_id") if kind == "group" else ("previousId", "previous_id")
            text = _id(given.get(key))
        else:
            self._flatten(kind, "properties", given, table, values, lacks)
            properties = given.get("properties")
            inner = properties.get("name") if type(properties) is dict else None
            column, text = "name", _text(given.get("name")) or _text(inner)
        if text:
            common[self._name[column]] = text
        self._put(table, values, common, lacks)
        return Row(table, values)

    def _merge(self, given: dict[str, Any], lacks: list[Lack]) -> list[Row]:
        table = self.table(MERGE_RULES)
        pair = given.get("mergeProperties")
        if type(pair) is list and len(pair) >= 2 and type(pair[0]) is dict and type(pair[1]) is dict:
            texts = [_id(each.get(key)) for each in pair[:2] for key in ("type", "value")]
            if all(texts):
                return [Row(table, dict(zip(self._rule, texts, strict=True)))]
        lacks.append(Lack(table, self.dialect.cased("merge_properties"), json_text(pair), NO_RULE))
        return []

    def _standard(
        self, kind: str, event: Event, given: dict[str, Any], table: str, lacks: list[Lack]
    ) -> dict[str, Value]:
        """What all tables have: our own columns and the flattened context."""
        row = self._places(event.source).copy()
        self._flatten(kind, "context", given, table, row, lacks)
        get = given.get
        id_, anonymous_id, user_id, channel, ip, request_ip, passed_ip = self._strings
        row[id_] = _text(get("messageId")) or event.message_id
        if text := _id(get("anonymousId")):
            row[anonymous_id] = text
        if text := _id(get("userId")):
            row[user_id] = text
        if text := _text(get("channel")):
            row[channel] = text
        for key, column in self._times:
            if value := get(key):
                row[column] = value if type(value) is str else json_text(value)
        context = get("context")
        if type(context) is dict and (text := _text(context.get("ip"))):
            row[passed_ip] = row[ip] = text
        if text := _text(get("request_ip")):
            row[request_ip] = text
            row.setdefault(ip, text)
        return row

    def _places(self, source: str) -> dict[str, Value]:
        """Where it comes from and goes to."""
        places = self._by_source.get(source)
        if places is None:
            values = (source, self._source_types.get(source, ""), *self._destination)
            columns = map(self.dialect.cased, _PLACES)
            places = {column: value for column, value in zip(columns, values, strict=True) if value}
            self._by_source[source] = places
        return places

    def _flatten(
        self,
        kind: str,
        path: str,
        given: dict[str, Any],
        table: str,
        into: dict[str, Value],
        lacks: list[Lack],
        *,
        key: str = "",
    ) -> None:
        """Add the columns of one object of the event."""
        value = given.get(key or path)
        if type(value) is dict:
            tree = self._trees.get((kind, path)) or self._plant(kind, path)
            lost: Lost = []
            tree.flatten(value, into, lost)
            lacks += [Lack(table, column, old, SAME_COLUMN) for column, old in lost]
        elif value:
            lacks.append(Lack(table, self.dialect.cased((key or path).lower()), value, NO_OBJECT))

    def _plant(self, kind: str, path: str) -> Tree:
        dropped = frozenset(map(self.dialect.cased, own_columns(kind)))
        steps = tuple(path.split("."))
        paths = [each[1:] if each[0] == kind else each for each in self._paths]
        below = [each[len(steps) :] for each in paths if each[: len(steps)] == steps]
        tree = Tree(self.dialect, "context" if path == "context" else "", dropped, below)
        self._trees[kind, path] = tree
        return tree

    def _put(self, table: str, values: dict[str, Value], common: dict[str, Value], lacks: list[Lack]) -> None:
        """Lay our own columns and the context over those of the client; what they cover is told."""
        if not values.keys().isdisjoint(common):
            lacks += [Lack(table, column, values[column], SAME_COLUMN) for column in values if column in common]
        values.update(common)


def own_columns(kind: str) -> dict[str, Type]:
    """Our own columns in the tables of a type of event, with their types."""
    return {
        **dict.fromkeys((*_STRINGS, *_PLACES, *_EXTRA.get(kind, ())), "string"),
        **dict.fromkeys((*_TIMES.values(), LOADED_AT), "datetime"),
    }


def _own_columns(dialect: Dialect) -> dict[str, dict[str, Type]]:
    """By table; those of `tracks` are those of the tables of events as well."""
    times = (*_TIMES.values(), LOADED_AT)
    tables: dict[str, dict[str, Type]] = {
        "tracks": own_columns("track"),
        "users": own_columns("identify"),
        **{table: own_columns(kind) for kind, table in TABLES.items()},
        MERGE_RULES: {**dict.fromkeys(_RULE, "string"), LOADED_AT: "datetime"},
        DISCARDS: {name: "datetime" if name in times else "string" for name in DISCARDS_COLUMNS},
    }
    return {
        names.standard_table(table, dialect): {dialect.cased(name): kind for name, kind in columns.items()}
        for table, columns in tables.items()
    }


def _width(row: Row) -> int:
    return len(row.values) + 1  # with the load time


@lru_cache(maxsize=4_096)
def _short_event(text: str, dialect: Dialect) -> tuple[str, str]:
    name = names.snake(text)
    return name, names.event_table(name, dialect)


def _event(text: str, dialect: Dialect) -> tuple[str, str]:
    """What an event's name is in columns, and its table."""
    if len(text) <= 256:  # so that what is kept is bounded in bytes as well
        return _short_event(text, dialect)
    return _short_event.__wrapped__(text, dialect)


def _id(value: Any) -> str:
    """An id as the graph of people reads it, so that both can be joined; "" for what is none."""
    if type(value) is str:
        return clean_id(value)
    return "" if value is None or isinstance(value, bool | list | dict) else text_of(value)


def _text(value: Any) -> str:
    """A scalar as text; "" for what is none."""
    if type(value) is str:
        return value
    return "" if value is None or isinstance(value, list | dict) else text_of(value)

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
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from appliance.core.event import Event
from appliance.core.id_text import clean_id
from appliance.warehouse import names
from appliance.warehouse.dialect import Dialect, Type
from appliance.warehouse.errors import COLUMNS_MAX, TOO_DEEP, TooManyColumns, Unmappable
from appliance.warehouse.flatten import Lost, Tree, json_text
from appliance.warehouse.gather import Row
from appliance.warehouse.reading import Given, read
from appliance.warehouse.types import Value, instant, text_of

EVENT_NAMES_MAX, EVENT_NAME_CHARACTERS_MAX = 4_096, 256
"""How many names of events are remembered, and up to which length."""

TABLES = {"identify": "identifies", "page": "pages", "screen": "screens", "group": "groups", "alias": "aliases"}
_EXTRA = {"track": ("event", "event_text"), "page": ("name",), "screen": ("name",), "group": ("group_id",),
          "alias": ("previous_id",)}  # fmt: skip
"""Columns of ours that only these events have."""
_STRINGS = ("id", "anonymous_id", "user_id", "channel", "context_ip", "context_request_ip", "context_passed_ip")
_PLACES = ("context_source_id", "context_source_type", "context_destination_id", "context_destination_type")
_TIMES = ("sent_at", "timestamp", "received_at", "original_timestamp")
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


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Place(NamedTuple):
    """A source or a destination, as rows name it."""

    id: str
    type: str


class Lack(NamedTuple):
    """A value that has no place in a row; becomes a row of `rudder_discards`."""

    table: str
    column: str
    value: Any
    reason: str


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
        self._event, self._event_text = dialect.cased("event"), dialect.cased("event_text")
        self._event_names: dict[str, tuple[str, str]] = {}
        self._by_source: dict[str, dict[str, Value]] = {}
        self._times = [dialect.cased(name) for name in _TIMES]
        self._tracks = self.table("tracks")

    def map(self, event: Event) -> tuple[list[Row], list[Lack]]:
        """The rows of an event, each with the columns it has values for, and what has no place in them.

        Raises:
            Unmappable: it has none: it is no JSON object, of no known type, or has too many columns.
        """
        lacks: list[Lack] = []
        kind = event.type
        try:
            given = read(event.json, holds_nul=self.dialect.holds_nul)
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
        except RecursionError as error:
            raise Unmappable(TOO_DEEP) from error
        for row in rows:
            if len(row.values) + len(row.common) + len(lacks) >= COLUMNS_MAX:  # the load time is one more
                raise TooManyColumns
        return rows, lacks

    def table(self, name: str) -> str:
        """One of our own tables as this warehouse spells it."""
        return names.standard_table(name, self.dialect)

    def own(self, table: str) -> dict[str, Type]:
        """The columns of a table that are ours, with the types that no value changes, as this warehouse spells them."""
        return self._own.get(table) or self._own[self.table("tracks")]

    def _track(self, event: Event, given: Given, lacks: list[Lack]) -> list[Row]:
        tracks = self._tracks
        common = self._standard("track", event, given, tracks, lacks)
        text = _text(given.event)
        if not text or text.isspace():
            left = {"properties": given.properties, "userProperties": given.user_properties}
            if left := {key: value for key, value in left.items() if value}:
                lacks.append(Lack(tracks, self.dialect.cased("properties"), json_text(left), NO_NAME))
            return [Row(tracks, common)]
        common[self._event_text] = text
        common[self._event], table = self._events(text)
        values = self._flatten("track", "properties", given.properties, table, lacks)
        if user_properties := given.user_properties:
            more = self._flatten("track", "userProperties", user_properties, table, lacks)
            _cover(table, values, more, lacks)
            values |= more
        if self._trees["track", "properties"].meets_context or user_properties:
            _cover(table, values, common, lacks)
        return [Row(table, values, common, tracks)]

    def _identify(self, event: Event, given: Given, lacks: list[Lack]) -> list[Row]:
        table = self.table("identifies")
        common = self._standard("identify", event, given, table, lacks)
        context = given.context
        outer = context if type(context) is dict else {}
        # The later of these objects counts, and that is no loss: the contract says so.
        values = self._flatten("identify", "userProperties", given.user_properties, table, lacks)
        values |= self._flatten("identify", "context.traits", outer.get("traits"), table, lacks)
        values |= self._flatten("identify", "traits", given.traits, table, lacks)
        _cover(table, values, common, lacks)
        values |= common
        user_id = common.get(self._name["user_id"])
        if not user_id:
            return [Row(table, values)]
        user = dict(values)
        for name in ("user_id", "anonymous_id", "channel"):
            user.pop(self._name[name], None)
        user[self._name["id"]] = user_id
        return [Row(table, values), Row(self.table("users"), user)]

    def _single(self, kind: str, event: Event, given: Given, lacks: list[Lack]) -> Row:
        table = self.table(TABLES[kind])
        common = self._standard(kind, event, given, table, lacks)
        if kind in ("group", "alias"):
            values = self._flatten(kind, "traits", given.traits, table, lacks)
            column = "group_id" if kind == "group" else "previous_id"
            text = _id(given.group_id if kind == "group" else given.previous_id)
        else:
            values = self._flatten(kind, "properties", given.properties, table, lacks)
            properties = given.properties
            inner = properties.get("name") if type(properties) is dict else None
            column, text = "name", _text(given.name) or _text(inner)
        if text:
            common[self._name[column]] = text
        _cover(table, values, common, lacks)
        return Row(table, values, common)

    def _merge(self, given: Given, lacks: list[Lack]) -> list[Row]:
        table = self.table(MERGE_RULES)
        pair = given.merge_properties
        if type(pair) is list and len(pair) >= 2 and type(pair[0]) is dict and type(pair[1]) is dict:
            texts = [_id(each.get(key)) for each in pair[:2] for key in ("type", "value")]
            if all(texts):
                return [Row(table, dict(zip(self._rule, texts, strict=True)))]
        lacks.append(Lack(table, self.dialect.cased("merge_properties"), json_text(pair), NO_RULE))
        return []

    def _standard(self, kind: str, event: Event, given: Given, table: str, lacks: list[Lack]) -> dict[str, Value]:
        """What all tables have: our own columns and the flattened context."""
        row = self._flatten(kind, "context", given.context, table, lacks)
        row |= self._places(event.source)
        id_, anonymous_id, user_id, channel, ip, request_ip, passed_ip = self._strings
        value = given.message_id
        row[id_] = value if value and type(value) is str else _text(value) or event.message_id
        if text := _id(given.anonymous_id):
            row[anonymous_id] = text
        if text := _id(given.user_id):
            row[user_id] = text
        if text := _text(given.channel):
            row[channel] = text
        received_at = given.received_at
        if type(received_at) is not str or len(received_at) != 24:  # as the pipeline writes it
            received_at = _received(received_at, event.received_ms)
        times = given.sent_at, given.timestamp, received_at, given.original_timestamp
        for column, value in zip(self._times, times, strict=True):
            if value:
                row[column] = value if type(value) is str else json_text(value)
        context = given.context
        if type(context) is dict and (text := _text(context.get("ip"))):
            row[passed_ip] = row[ip] = text
        if text := _text(given.request_ip):
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

    def _events(self, text: str) -> tuple[str, str]:
        """What the name of an event is in columns, and its table."""
        found = self._event_names.get(text)
        if found is None:
            name = names.snake(text)
            found = name, names.event_table(name, self.dialect)
            if len(self._event_names) >= EVENT_NAMES_MAX:
                self._event_names.clear()
            if len(text) <= EVENT_NAME_CHARACTERS_MAX:
                self._event_names[text] = found
        return found

    def _flatten(self, kind: str, path: str, value: Any, table: str, lacks: list[Lack]) -> dict[str, Value]:
        """The columns of the object at this path of the event."""
        tree = self._trees.get((kind, path)) or self._plant(kind, path)
        if type(value) is dict:
            lost: Lost = []
            found = tree.flatten(value, lost)
            if lost:
                lacks += [Lack(table, column, old, SAME_COLUMN) for column, old in lost]
            return found
        if value:
            column = self.dialect.cased(path.rpartition(".")[2].lower())
            lacks.append(Lack(table, column, value, NO_OBJECT))
        return {}

    def _plant(self, kind: str, path: str) -> Tree:
        dropped = frozenset(map(self.dialect.cased, own_columns(kind)))
        steps = tuple(path.split("."))
        paths = [each[1:] if each[0] == kind else each for each in self._paths]
        below = [each[len(steps) :] for each in paths if each[: len(steps)] == steps]
        tree = Tree(self.dialect, "context" if path == "context" else "", dropped, below)
        self._trees[kind, path] = tree
        return tree


def own_columns(kind: str) -> dict[str, Type]:
    """Our own columns in the tables of a type of event, with their types."""
    return {
        **dict.fromkeys((*_STRINGS, *_PLACES, *_EXTRA.get(kind, ())), "string"),
        **dict.fromkeys((*_TIMES, LOADED_AT), "datetime"),
    }


def _own_columns(dialect: Dialect) -> dict[str, dict[str, Type]]:
    """By table; those of `tracks` are those of the tables of events as well."""
    times = (*_TIMES, LOADED_AT)
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


def _cover(table: str, values: dict[str, Value], upper: dict[str, Value], lacks: list[Lack]) -> None:
    """Take away from `values` what stands in `upper` as well; it is told."""
    for column in [column for column in values if column in upper]:
        lacks.append(Lack(table, column, values.pop(column), SAME_COLUMN))


def _received(value: Any, received_ms: int) -> str:
    """When the event came, whatever a transformation has made of it: by it the newest row is chosen."""
    found = instant(value) if type(value) is str else None
    return found or (_EPOCH + timedelta(milliseconds=received_ms)).isoformat(timespec="milliseconds")[:23] + "Z"


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

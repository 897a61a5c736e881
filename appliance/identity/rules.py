"""Which ids an event has, by the configured rules: normalised, in order of priority, blocked ones left out. Pure.

Where ids stand:

    user_id, anonymous_id   the event's userId and anonymousId, as the collector made them text
    email, phone            traits, context.traits
    device_id               context.device.id
    external ids            context.externalId and context.externalIds: [{"id", "type"}]
    any type                the `paths` of its table [identity.ids.NAME]

    identify, track, page, screen   all of these
    group                           userId and anonymousId alone: its traits are the group's, and a group is no person
    alias, merge                    only what the client names: userId (anonymousId where there is none) and previousId,
                                    or mergeProperties; these are `explicit`

From a source that teaches `sightings` no event is explicit; from one that teaches `none` the first id alone is taken.

That alias and merge take no more is meant: an explicit sighting joins even two unique ids, and the anonymousId that an
SDK adds by itself may be a browser that somebody else has used.

Source: RudderStack event spec, Alias and Merge; Segment spec, Alias and Identify.
"""

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from appliance.core import json_text
from appliance.core.config import ID_TYPES, Config, IdentityConfig, IdTypeConfig, Teaching
from appliance.core.event import Record
from appliance.core.id_text import clean_id, id_of
from appliance.identity import normalise
from appliance.identity.normalise import LeftOut
from appliance.identity.reading import Place, Reader
from appliance.identity.type_rules import EXTERNAL, TypeRules, filled

IDS_MAX = 20
"""So many ids of one event count, by priority, and so many entries of a list of ids are looked at."""
LISTED_MAX = 8
"""So many of them may stand in lists, whose length and types whoever sends the event is free to choose."""
SHOWN_CHARACTERS_MAX = 100
"""So much of a value that is left out is kept with the reason."""

IS_NO_SCALAR = "is neither text nor a number"
IS_NO_TYPE = "has no type: up to 64 letters, digits, `-`, `_`, `.`; a letter or digit first"
IS_EMPTY = "is empty"
IS_NO_PERSON = "names something else than a person"
IS_OFF = "is of a type that is switched off (`enabled = false`)"
IS_TOO_MANY = f"is one of more than {IDS_MAX} ids in one event"
IS_NOT_FIRST = "is not the first id of an event whose source teaches nothing"
IS_TOO_MANY_LISTED = f"is one of more than {LISTED_MAX} ids in the lists of one event"

_PLACES: list[tuple[str, Place]] = [
    ("email", ("traits", "email")),
    ("email", ("context", "traits", "email")),
    ("phone", ("traits", "phone")),
    ("phone", ("context", "traits", "phone")),
    ("device_id", ("context", "device", "id")),
]
_LISTS: list[tuple[str, Place]] = [("", ("context", "externalId")), ("", ("context", "externalIds"))]
"""Lists whose entries say their type themselves."""
_SPELLINGS = {name.replace("_", ""): name for name in ID_TYPES} | {"e-mail": "email", "mobile": "phone"}
"""How clients may call our types, in lower case and without `_`."""

_SOURCES = "sources"
"""Beside the keys of `[identity]` in a graph's rules: what the sources may teach that may not teach all."""
_ABSENT = (b"", b"null")
_EXPLICIT = frozenset(("alias", "merge"))
_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", re.ASCII)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_VALUE_BYTES_MAX = 8 * normalise.BYTES_MAX
"""JSON text beyond this is no id, however its characters are escaped."""


class Id(NamedTuple):
    """One id, normalised."""

    type: str
    """user_id, anonymous_id, email, phone, device_id, or an external id's own type such as liveramp."""
    value: str


class Sighting(NamedTuple):
    """The ids of one event."""

    ids: list[Id]
    """The usable ones, highest priority first, none twice, at most `IDS_MAX`."""
    explicit: bool
    """The client itself says that these are one person: alias and merge."""
    left: list[tuple[Id, str]]
    """Blocked and unreadable ones with the reason; the value as sent, cut where long. What is absent, null or empty is
    no id and stands nowhere."""


class _NamedIds(msgspec.Struct, rename="camel", gc=False):
    """What an alias and a merge name beside userId and anonymousId."""

    previous_id: msgspec.Raw = msgspec.Raw()
    merge_properties: msgspec.Raw = msgspec.Raw()


class _Entry(msgspec.Struct, gc=False):
    """An entry of externalId (`id`) or of mergeProperties (`value`)."""

    type: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()
    value: msgspec.Raw = msgspec.Raw()
    collection: msgspec.Raw = msgspec.Raw()
    """Segment: "users", or what else than a person it is an id of."""
    identifierType: msgspec.Raw = msgspec.Raw()  # noqa: N815
    """RudderStack: the id is one of a record in a destination, as reverse ETL writes it."""


_NAMED_IDS, _ENTRY = msgspec.json.Decoder(_NamedIds), msgspec.json.Decoder(_Entry)


class Rules:
    """The configured rules, compiled.

    Args:
        config: `[identity]`.
        teaching: by source, what its events may teach; a source that is not named teaches all.

    Attributes:
        shared_after: an id that is not unique itself and was seen with more different unique ids is shared.
        ids_max: no person has more ids altogether; None: no limit.
        keep_traits: what identified people say of themselves is kept, for those who look for people who may be one.
        json: the rules as canonical JSON, defaults written out: equal rules are equal bytes, and what is in force at a
            place of the log does not change when a later version has other defaults.
    """

    def __init__(self, config: IdentityConfig, teaching: Mapping[str, Teaching] | None = None) -> None:
        config = filled(config)
        self._teaching = {name: word for name, word in (teaching or {}).items() if word != "full"}
        self.shared_after, self.ids_max = config.shared_after, config.ids_max or None
        self.keep_traits = config.keep_traits
        self.json = msgspec.json.encode(config, order="deterministic")
        if self._teaching:  # Without, the bytes are those of versions that knew of no such thing.
            sources = msgspec.json.encode(self._teaching, order="deterministic")
            self.json = self.json[:-1] + b',"%s":%s}' % (_SOURCES.encode(), sources)
        self._types = {name: TypeRules(name, table, config.phone_country) for name, table in config.ids.items()}
        self._external = TypeRules("", EXTERNAL, config.phone_country)
        self._user_first = self.priority("user_id") <= self.priority("anonymous_id")
        own = [(name, tuple(path.split("."))) for name, table in config.ids.items() for path in table.paths]
        places = [*_PLACES, *own, *_LISTS]
        self._place_types = [name for name, _ in places]
        self._reader = Reader([place for _, place in places])

    @classmethod
    def configured(cls, config: Config) -> "Rules":
        """Those of a whole configuration: `[identity]`, and what each source may teach."""
        return cls(config.identity, {name: source.identity for name, source in config.sources.items()})

    @classmethod
    def from_json(cls, json: bytes) -> "Rules":
        """The rules that `json` was written from; keys that this version does not know are passed over.

        Raises:
            msgspec.DecodeError: it is no JSON, or no rules.
        """
        whole = msgspec.json.decode(json, type=dict[str, Any])
        teaching = msgspec.convert(whole.get(_SOURCES, {}), dict[str, Teaching])
        table = _known(whole, IdentityConfig)
        ids = msgspec.convert(table.get("ids", {}), dict[str, dict[str, Any]])
        table["ids"] = {name: _known(inner, IdTypeConfig) for name, inner in ids.items()}
        return cls(msgspec.convert(table, IdentityConfig), teaching)

    def teaches(self, source: str) -> bool:
        """Whether the graph learns anything from events of this source."""
        return self._teaching.get(source) != "none"

    def read(self, record: Record) -> Sighting:
        """The ids of an event; never raises, whatever stands in it."""
        sighting = self._read(record)
        if not (teaching := self._teaching.get(record.source)):
            return sighting
        ids, _, left = sighting
        if teaching == "none":
            left += [(one, IS_NOT_FIRST) for one in ids[1:]]
            ids = ids[:1]
        return Sighting(ids, False, left)

    def _read(self, record: Record) -> Sighting:
        sieve, type = _Sieve(self), record.type
        if type in _EXPLICIT:
            sieve.take_explicit(record)
            return sieve.sighting(explicit=True)
        found = [] if type == "group" else self._reader.read(record.raw)
        if record.user_id:
            sieve.offer("user_id", record.user_id)
        for place, value in found:
            if name := self._place_types[place]:
                sieve.offer_json(name, value)
            else:
                sieve.offer_list(value)
        if record.anonymous_id:
            sieve.offer("anonymous_id", record.anonymous_id)
        if not found and self._user_first:  # Nothing to be sorted: most events have no more than these two.
            return Sighting(sieve.ids, False, sieve.left)
        return sieve.sighting(explicit=False)

    def most(self, type: str) -> int | None:
        """No person has more ids of this type; None: no limit."""
        return self.of(type).most

    def unique(self, type: str) -> bool:
        """Whether two ids of this type are two people, unless an explicit sighting or an operator joins them."""
        return self.of(type).unique

    def priority(self, type: str) -> int:
        """The lower, the sooner: 10 for a user_id, 60 for an anonymous_id by default."""
        return self.of(type).priority

    def window_days(self, type: str) -> int | None:
        """An id not seen for more days joins nobody any more; None: no such bound."""
        return self.of(type).window_days

    def of(self, type: str) -> TypeRules:
        """The rules of a type; of one that nobody has configured those of external ids."""
        return self._types.get(type, self._external)

    def names(self, type: str) -> bool:
        """Whether it is a type of ours or of the configuration, and none that a client made up."""
        return type in self._types

    def type_named(self, name: str) -> str:
        """The type that a client or an operator means: `userId` is user_id, `mobile` is phone; "" where it is none."""
        if name in self._types:
            return name
        known = _SPELLINGS.get(name.lower().replace("_", "")) if len(name) <= 64 else None
        return known or (name if _TYPE.fullmatch(name) else "")

    def id_named(self, type: str, value: str) -> Id:
        """An id as a person writes it down, such as `email Zoe@Example.com`: as events that carry it have it.

        Raises:
            LeftOut: it is none; the words say why.
        """
        name = self.type_named(type)
        if not name:
            raise LeftOut(IS_NO_TYPE)
        if not (normal := self.of(name).value_of(value)):
            raise LeftOut(IS_EMPTY)
        return Id(name, normal)


def _known(table: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key in kind.__struct_fields__}


class _Sieve:
    """Collects the ids of one event."""

    __slots__ = ("ids", "left", "listed", "rules")

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.ids: list[Id] = []
        self.left: list[tuple[Id, str]] = []
        self.listed: set[Id] = set()
        """Those that stand in a list and nowhere else."""

    def sighting(self, explicit: bool) -> Sighting:
        """What has been collected."""
        ids = self.ids
        if len(ids) > 1:
            ids = sorted(dict.fromkeys(ids), key=self._priority)
            if over := [one for one in ids if one in self.listed][LISTED_MAX:]:
                ids = self._without(over, ids, IS_TOO_MANY_LISTED)
            if len(ids) > IDS_MAX:
                ids = self._without(ids[IDS_MAX:], ids, IS_TOO_MANY)
        return Sighting(ids, explicit, self.left)

    def _without(self, over: list[Id], ids: list[Id], reason: str) -> list[Id]:
        for one in over:
            self.refuse(*one, reason)
        gone = set(over)
        return [one for one in ids if one not in gone]

    def _priority(self, id: Id) -> int:
        return self.rules.of(id.type).priority

    def offer(self, type: str, text: str, *, listed: bool = False) -> None:
        """A value as text; `listed` where it is an entry of a list."""
        rules = self.rules.of(type)
        try:
            value = rules.value_of(text)
            if value and not rules.enabled:
                raise LeftOut(IS_OFF)
        except LeftOut as reason:
            self.refuse(type, text, str(reason))
            return
        if value:
            one = Id(type, value)
            if not listed:
                self.listed.discard(one)
            elif one not in self.ids:
                self.listed.add(one)
            self.ids.append(one)

    def offer_json(self, type: str, value: bytes, *, listed: bool = False) -> None:
        """A value as JSON; `listed` where it is an entry of a list."""
        if text := self._text(type, value):
            self.offer(type, text, listed=listed)

    def _text(self, type: str, value: bytes) -> str:
        """The text of a JSON value; "" where it is absent, or can be no id and is noted as left out."""
        if value in _ABSENT:
            return ""
        if value[:1] in b"{[tf":
            self.refuse_json(type, value, IS_NO_SCALAR)
            return ""
        if len(value) > _VALUE_BYTES_MAX:
            self.refuse_json(type, value, normalise.IS_LONG)
            return ""
        try:
            return id_of(value)
        except _UNREADABLE:
            self.refuse_json(type, value, normalise.IS_NO_TEXT)
            return ""

    def offer_list(self, value: bytes) -> None:
        """A list of `{"type", "id"}` or `{"type", "value"}`, or one such object."""
        if value[:1] == b"{":
            value = b"[%s]" % value
        if value[:1] == b"[":
            for count, entry in enumerate(_entries(value)):
                if count == IDS_MAX:
                    self.refuse_json("external_id", entry, IS_TOO_MANY)
                    return
                self._offer_entry(entry)

    def _offer_entry(self, entry: bytes) -> None:
        try:
            named = _ENTRY.decode(entry)
            written = clean_id(id_of(bytes(named.type))) if len(named.type) <= _VALUE_BYTES_MAX else ""
        except _UNREADABLE:
            self.refuse_json("external_id", entry, IS_NO_TYPE)
            return
        type, value = self.rules.type_named(written), bytes(named.id) or bytes(named.value)
        if not type:
            self.refuse_json("external_id", entry, IS_NO_TYPE)
        elif bytes(named.identifierType) not in _ABSENT or bytes(named.collection) not in (*_ABSENT, b'"users"'):
            self.refuse_json(type, value, IS_NO_PERSON)
        else:
            self.offer_json(type, value, listed=True)

    def take_explicit(self, record: Record) -> None:
        """The ids that an alias or a merge names."""
        if record.user_id:
            self.offer("user_id", record.user_id)
        elif record.anonymous_id:
            self.offer("anonymous_id", record.anonymous_id)
        try:
            named = _NAMED_IDS.decode(record.raw)
        except _UNREADABLE:
            return
        if record.type == "merge":
            self.offer_list(bytes(named.merge_properties))
            return
        previous = clean_id(self._text("user_id", bytes(named.previous_id)))
        for type in _types_of_previous(previous, record):
            self.offer(type, previous)

    def refuse_json(self, type: str, value: bytes, reason: str) -> None:
        """Note a value that is left out, as the JSON that it is."""
        self.refuse(type, value[: 4 * SHOWN_CHARACTERS_MAX].decode("utf-8", "replace"), reason)

    def refuse(self, type: str, value: str, reason: str) -> None:
        """Note a value that is left out."""
        cut = value[: SHOWN_CHARACTERS_MAX - 3] + "..." if len(value) > SHOWN_CHARACTERS_MAX else value
        self.left.append((Id(type, cut.encode("utf-8", "replace").decode()), reason))


def _entries(value: bytes) -> Iterator[bytes]:
    """The first entries of a JSON list, one more than are looked at."""
    try:
        yield from islice(json_text.elements(value), IDS_MAX + 1)
    except ValueError:
        return


def _types_of_previous(previous: str, record: Record) -> tuple[str, ...]:
    """What an alias's previousId is: the specifications allow a former userId and an anonymousId.

    Where it equals the event's anonymousId it is that. Else it is a userId, unless it is shaped like a UUID, as the
    anonymousIds of all SDKs are and the userIds of this client are not. Where both are, nothing tells which of the two
    it is, and it stands for both: whichever was never seen joins nobody.
    """
    if previous == record.anonymous_id:
        return ("anonymous_id",)
    if not _UUID.fullmatch(previous):
        return ("user_id",)
    return ("user_id", "anonymous_id") if _UUID.fullmatch(record.user_id) else ("anonymous_id",)

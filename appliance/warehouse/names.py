"""Names of tables and columns, made from what clients send: never anything but a-z, 0-9 and underscores. Pure.

A word is a run of ASCII letters and digits: `productID` has two, `HTTPServer` two, `v2` one, `2Fast` one. Words are
joined by underscores, in lower case; underscores at the very beginning stay. What has no word at all, such as a name
in Chinese, is called `unnamed_` and a digest of it, so that nothing is lost.

Source: contract/warehouse.md, Names.
"""

import hashlib
import re
from functools import lru_cache

from appliance.warehouse.dialect import Dialect

SOURCE_CHARACTERS_MAX = 1_000
"""Of a longer key or event name only so many characters become a name."""
LAW = ("tracks", "pages", "screens", "aliases", "groups", "accounts", "users", "identifies")
"""Tables that no event may be called after."""
OURS = (
    "rudder_discards",
    "rudder_identity_mappings",
    "rudder_identity_merge_rules",
    "sternpost_loads",
    "id_map",
)
"""Further tables of ours, of the same protection: an event must not write our cursor."""
OUR_PREFIX = "sternpost_"

# Lower case with a capital before and digits behind it; capitals with digits behind; digits with letters behind; and
# capitals, of which the last belongs to the lower case that follows.
_WORD = re.compile(r"[A-Z]?[a-z]+[0-9]*|[A-Z]+[0-9]+|[0-9]+(?:[A-Z]?[a-z]+|[A-Z]+)?|[A-Z]+(?=[A-Z][a-z])|[A-Z]+")


def words_of(text: str) -> str:
    """The words of a text, joined by underscores; "" where it has none."""
    return "_".join(_WORD.findall(text[:SOURCE_CHARACTERS_MAX])).lower()


def leading(text: str) -> str:
    """The underscores that it begins with."""
    text = text[:SOURCE_CHARACTERS_MAX]
    return text[: len(text) - len(text.lstrip("_"))]


def named(lead: str, words: str) -> str:
    """A name before any database's rules; "" where there is nothing to make it of."""
    if not lead and words[:1].isdigit():
        return f"_{words}"
    return lead + words


def unnamed(digest: bytes) -> str:
    """What a thing is called whose name has no word."""
    return f"unnamed_{digest[:4].hex()}"


def digest_of(text: str, above: bytes = b"") -> bytes:
    """Of a key and the keys above it."""
    return hashlib.blake2b(above + text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def fitted(name: str, dialect: Dialect) -> str:
    """A name by the rules of a database: length, reserved words, case. Two long names can become one."""
    name = name[: dialect.name_characters_max]
    if name in dialect.reserved:
        name = f"_{name}"
    while dialect.reserved_prefixes and name.startswith(dialect.reserved_prefixes):
        name = f"_{name}"[: dialect.name_characters_max]
    return dialect.cased(name)


def snake(text: str) -> str:
    """The text as a name before any database's rules; never empty."""
    return named(leading(text), words_of(text)) or unnamed(digest_of(text))


@lru_cache(maxsize=1_000)
def standard_table(name: str, dialect: Dialect) -> str:
    """What one of our own tables is called: reserved words give way (`groups` is `_groups` on BigQuery)."""
    return fitted(name, dialect)


@lru_cache(maxsize=100)
def _protected(dialect: Dialect) -> frozenset[str]:
    names = LAW + OURS
    return frozenset([standard_table(name, dialect) for name in names] + [dialect.cased(name) for name in names])


def event_table(event: str, dialect: Dialect) -> str:
    """The table of an event, from what `snake` made of its name: never one of our own tables."""
    name = fitted(event, dialect)
    while name in _protected(dialect) or name.startswith(dialect.cased(OUR_PREFIX)):
        name = f"_{name}"[: dialect.name_characters_max]
    return name

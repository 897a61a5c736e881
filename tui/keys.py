"""The one table of keys: footer, help, palette and documentation are made of it, and users rebind by it.

Lower case is reversible; UPPER CASE is irreversible and always asks first. Another key for an action stands in
`$XDG_CONFIG_HOME/sternpost/keys.toml` (default `~/.config/sternpost/keys.toml`), by the action's name:

    pause = "space"
    next_page = "n,ctrl+f"
"""

import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from textual.binding import Binding

PAGES = {
    "overview": "Overview",
    "tail": "Tail",
    "destinations": "Destinations",
    "people": "People",
    "dead": "Dead letters",
    "log": "Log and warehouse",
    "config": "Config",
    "audit": "Audit and logs",
}
"""Every screen by its name, in the order of the keys 1 to 8."""

ROLES = ("viewer", "operator", "admin")


@dataclass(frozen=True)
class Key:
    """One action and the key that calls it.

    `words` is the line of the help screen, `label` what the footer says. `pages`: the screens that have it, none for
    all. `role`: who may, "" where nothing is changed. `irreversible`: asks first, and its key is upper case.
    """

    name: str
    key: str
    label: str
    words: str
    pages: tuple[str, ...] = ()
    role: str = ""
    irreversible: bool = False
    shown: bool = True
    action: str = ""

    def binding(self, key: str = "") -> Binding:
        """For Textual; `key` where the user chose another."""
        return Binding(key or self.key, self.action or self.name, self.label, show=self.shown, id=self.name)


def _page(number: int, name: str) -> Key:
    words = f"go to {PAGES[name]}"
    return Key(f"go_{name}", str(number), PAGES[name], words, shown=False, action=f"app.go('{name}')")


_TABLE = (
    *(_page(number, name) for number, name in enumerate(PAGES, 1)),
    # What a screen can do; these come first in its footer.
    Key("point", "o", "point", "watch another point: collected, processed, delivered", ("tail",)),
    Key("freeze", "f", "freeze", "freeze what is shown, or follow again", ("tail",)),
    Key("zoom", "z", "zoom", "details alone, or beside the list", ("tail", "dead", "destinations"), shown=False),
    Key("pause", "p", "pause", "pause; positions and queues are kept", ("overview", "destinations"), "operator"),
    Key("resume", "r", "resume", "resume from where it stood", ("overview", "destinations"), "operator"),
    Key("swap", "s", "swap", "the other table of this screen", ("overview", "people", "audit")),
    Key("view", "v", "view", "the next of health, queue, errors, config", ("destinations",)),
    Key("mark", "space", "mark", "mark a dead letter, or take the mark away", ("dead",)),
    Key("mark_all", "a", "all", "mark all that match the filter, on every page, or none", ("dead",)),
    Key("export", "x", "export", "write the marked letters, or all that match, to a file", ("dead",)),
    Key("diff", "d", "diff", "what the file says otherwise than the running process", ("config",)),
    Key("reload", "l", "re-load", "read the file again, after a look at the difference", ("config",), "admin"),
    Key("way", "w", "way", "where this event is: its whole way", ("tail", "people", "dead")),
    Key("drain", "D", "drain", "try everybody who waits now", ("destinations",), "operator", True),
    Key("test", "S", "send test", "send one event of our own", ("destinations",), "operator", True, False),
    Key("replay", "R", "replay", "deliver a range of the past again", ("destinations",), "operator", True),
    Key("forget", "F", "forget", "end a parked destination and what it holds", ("destinations",), "admin", True, False),
    Key("rotate", "K", "rotate key", "give a source a new write key", ("overview",), "admin", True, False),
    Key("requeue", "R", "requeue", "bring dead letters back into their queues", ("dead",), "operator", True),
    Key("edit", "E", "edit", "edit a copy and requeue it in the letter's place", ("dead",), "admin", True),
    Key("purge", "P", "purge", "delete dead letters for good", ("dead",), "admin", True),
    Key("cancel_replay", "C", "cancel replay", "end a replay; the rest stays unsent", ("log",), "operator", True),
    Key("undo", "U", "undo merge", "undo a merge: part those whom it joined", ("people",), "operator", True),
    # What every screen has.
    Key("filter", "slash", "filter", "filter, or search"),
    Key("next_page", "right_square_bracket", "next page", "the next 200 rows", shown=False),
    Key("first_page", "left_square_bracket", "first page", "back to the first 200 rows", shown=False),
    Key("copy", "y", "copy", "copy the row, or what the details show", shown=False),
    Key("theme", "t", "theme", "the next colours", shown=False, action="app.theme"),
    Key("palette", "colon", "commands", "every command by name; ctrl+p too", shown=False, action="app.palette"),
    Key("help", "question_mark", "help", "this list", action="app.help"),
    Key("back", "escape", "back", "leave the filter, clear it, or close", shown=False),
    Key("quit", "q", "quit", "leave the console; the appliance goes on", action="app.quit"),
)  # fmt: skip

KEYS: dict[str, Key] = {key.name: key for key in _TABLE}


class KeysFault(Exception):
    """The file of keys cannot be used; the text says where and how to mend it."""


def of_page(page: str) -> Iterator[Key]:
    """What one screen can do, and no other need."""
    return (key for key in KEYS.values() if page in key.pages)


def everywhere() -> Iterator[Key]:
    """What every screen has."""
    return (key for key in KEYS.values() if not key.pages)


def may(role: str, key: Key) -> bool:
    """Whether a token of this role may do it; a role that is not known may nothing but look."""
    if not key.role:
        return True
    return role in ROLES and ROLES.index(role) >= ROLES.index(key.role)


def keys_file(environment: Mapping[str, str] = os.environ) -> Path:
    """Where the user's own keys stand."""
    folder = environment.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(folder) / "sternpost" / "keys.toml"


def read_keymap(path: Path) -> dict[str, str]:
    """The user's keys by action name; none where there is no file.

    Raises:
        KeysFault: the file is no TOML, names an action that does not exist, gives one key to two actions of a screen,
            or puts what cannot be undone on a key in lower case.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise KeysFault(f"{path} cannot be read: {error}") from None
    for name, chosen in found.items():
        if name not in KEYS:
            near = get_close_matches(name, KEYS, n=1)
            raise KeysFault(f"{path}: there is no action {name!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
        if not isinstance(chosen, str) or not chosen.strip():
            raise KeysFault(f'{path}: {name} is a text such as "p" or "f5,ctrl+r"')
    _check(path, {name: str(chosen) for name, chosen in found.items()})
    return {name: str(chosen) for name, chosen in found.items()}


def _check(path: Path, keymap: Mapping[str, str]) -> None:
    for page in PAGES:
        taken: dict[str, str] = {}
        for key in [*of_page(page), *everywhere()]:
            for one in (part.strip() for part in keymap.get(key.name, key.key).split(",")):
                if one in taken:
                    raise KeysFault(f"{path}: {one!r} is both {taken[one]} and {key.name} on the screen {PAGES[page]}")
                taken[one] = key.name
                if key.irreversible and len(one) == 1 and not one.isupper():
                    raise KeysFault(f"{path}: {key.name} cannot be undone, so its key is upper case, not {one!r}")


def shown_key(key: str) -> str:
    """A key as people read it."""
    names = {"slash": "/", "question_mark": "?", "colon": ":", "right_square_bracket": "]", "left_square_bracket": "["}
    return names.get(key, {"escape": "esc"}.get(key, key))


def markdown(keymap: Mapping[str, str] | None = None) -> str:
    """The table for documentation."""
    lines = ["| key | on | does | may |", "|---|---|---|---|"]
    for key in KEYS.values():
        pages = ", ".join(PAGES[page] for page in key.pages) or "every screen"
        who = (key.role or "everybody") + (", asks first" if key.irreversible else "")
        pressed = shown_key((keymap or {}).get(key.name, key.key))
        lines.append(f"| `{pressed}` | {pages} | {key.words} | {who} |")
    return "\n".join(lines)

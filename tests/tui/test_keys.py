"""The one table of keys: its rules, rebinding, and that every key does something."""

from pathlib import Path

import pytest
from textual.binding import Binding

from tui import keys
from tui.app import Console
from tui.keys import KEYS, PAGES, KeysFault
from tui.screens.page import Page


def screens() -> list[type[Page]]:
    return [kind for kind in Console.MODES.values() if isinstance(kind, type) and issubclass(kind, Page)]


def test_upper_case_is_what_cannot_be_undone() -> None:
    for key in KEYS.values():
        letter = len(key.key) == 1 and key.key.isalpha()
        assert not letter or key.key.isupper() == key.irreversible, key.name
        assert not key.irreversible or key.role, f"{key.name} destroys or moves, so a viewer must not"


def test_no_screen_has_one_key_for_two_actions() -> None:
    for page in PAGES:
        pressed = [key.key for key in (*keys.of_page(page), *keys.everywhere())]
        assert len(pressed) == len(set(pressed)), page


def test_every_key_has_its_action() -> None:
    kinds = {kind.page: kind for kind in screens()}
    assert list(kinds) == list(PAGES)
    for key in KEYS.values():
        action = (key.action or key.name).partition("(")[0]
        for page in key.pages or PAGES:
            owner = Console if action.startswith("app.") else kinds[page]
            name = f"action_{action.removeprefix('app.')}"
            assert hasattr(owner, name), f"{key.name} on {page}"


def test_footer_and_help_are_of_the_table() -> None:
    for kind in screens():
        bound = [one for one in kind.BINDINGS if isinstance(one, Binding)]
        assert [one.id for one in bound] == [key.name for key in (*keys.of_page(kind.page), *keys.everywhere())]
        from tui.screens.help import help_text

        shown = help_text(kind.page, {}).plain
        for key in (*keys.of_page(kind.page), *keys.everywhere()):
            assert key.words in shown


@pytest.mark.parametrize(("role", "actions"), [("viewer", set()), ("operator", {"pause", "requeue"}), ("wizard", set()),
                                               ("admin", {"pause", "requeue", "purge", "reload"})])  # fmt: skip
def test_roles(role: str, actions: set[str]) -> None:
    guarded = {"pause", "requeue", "purge", "reload"}
    assert {name for name in guarded if keys.may(role, KEYS[name])} == actions
    assert keys.may(role, KEYS["filter"])


def written(folder: Path, content: str) -> Path:
    path = folder / "keys.toml"
    path.write_text(content)
    return path


def test_users_rebind(tmp_path: Path) -> None:
    assert keys.read_keymap(tmp_path / "none.toml") == {}
    assert keys.read_keymap(written(tmp_path, 'pause = "f5"\npurge = "X"\n')) == {"pause": "f5", "purge": "X"}
    assert keys.keys_file({"XDG_CONFIG_HOME": "/x"}) == Path("/x/sternpost/keys.toml")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("pause = ", "cannot be read"),
        ('puase = "p"', "did you mean 'pause'"),
        ("pause = 5", 'pause is a text such as "p"'),
        ('pause = "r"', "'r' is both pause and resume on the screen Overview"),
        ('purge = "p"', "purge cannot be undone, so its key is upper case, not 'p'"),
    ],
)
def test_a_bad_file_of_keys_says_why(tmp_path: Path, content: str, words: str) -> None:
    with pytest.raises(KeysFault, match=words.replace("(", r"\(")):
        keys.read_keymap(written(tmp_path, content))


def test_the_table_for_the_documentation_has_every_key() -> None:
    page = keys.markdown()
    assert page.count("\n") == len(KEYS) + 1
    assert all(key.words in page for key in KEYS.values())

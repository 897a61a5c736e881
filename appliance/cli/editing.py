"""Adds a table to the configuration file: checked before it is written, taken back where the process refuses it."""

import json
import re
import tomllib
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from appliance.cli.output import CommandError
from appliance.core import durable

_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_KEY = re.compile(r"[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*", re.ASCII)


def table_text(name: str, plugin: str, settings: Sequence[str]) -> str:
    """The TOML of `[destinations.NAME]`.

    Args:
        settings: `KEY=VALUE` each; a value that is no TOML value is text.

    Raises:
        CommandError: one is not of that form.
    """
    lines = [f"[destinations.{name if _BARE.fullmatch(name) else _text(name)}]", f"plugin = {_text(plugin)}"]
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not _KEY.fullmatch(key.strip()):
            raise CommandError(f"{setting!r} is not KEY=VALUE", "such as url=http://127.0.0.1:9000/events", 2)
        lines.append(f"{key.strip()} = {_value(value.strip())}")
    return "\n".join(lines) + "\n"


@contextmanager
def appended(path: Path, data: Path, name: str, table: str) -> Iterator[None]:
    """The file with `table` at its end; what stood before comes back where the block raises.

    Args:
        name: of the destination that `table` is about.

    Raises:
        ConfigError: the file would be faulty; it was not touched.
        CommandError: it cannot be written.
    """
    from appliance.core.errors import ConfigError, Fault
    from appliance.deliver.bind import Shelf, everything_wrong

    path = path.resolve()
    try:
        before = path.read_bytes()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}", "`sternpost init` writes one", 2) from None
    if name in _destinations_of(before):
        raise CommandError(
            f"destination {name} stands in {path} already; nothing was changed",
            f"choose another name, or change [destinations.{name}] in the file and `sternpost reload`",
            2,
        )
    end = b"" if before.endswith(b"\n") or not before else b"\n"
    candidate = _beside(path, before + end + b"\n" + table.encode())
    try:
        refused, unusable = everything_wrong(candidate, Shelf(data))
        if faults := refused + unusable:
            raise ConfigError(faults)
        durable.rename(candidate, path)
    except ConfigError as error:
        # The faults stand in a copy; people look for them in their own file.
        raise ConfigError(
            [Fault(str(path), fault.line, fault.key, fault.message, fault.hint) for fault in error.faults]
        ) from None
    finally:
        candidate.unlink(missing_ok=True)
    try:
        yield
    except BaseException:
        durable.rename(_beside(path, before), path)
        raise


def _destinations_of(content: bytes) -> Container[str]:
    """Names of the destinations of a file; none where it cannot be read, which is told later with its line."""
    try:
        found = tomllib.loads(content.decode("utf-8-sig")).get("destinations", {})
    except ValueError:
        return ()
    return found if isinstance(found, dict) else ()


def _beside(path: Path, content: bytes) -> Path:
    """A new file in the same folder with the same mode."""
    try:
        made = durable.beside(path, content, ".toml")
        made.chmod(path.stat().st_mode & 0o777)
    except OSError as error:
        raise CommandError(f"{path.parent} cannot be written: {error.strerror}", "nothing was changed") from None
    return made


def _value(text: str) -> str:
    try:
        tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return _text(text)
    return _text(text) if "\n" in text or not text else text


def _text(text: str) -> str:
    """A TOML basic string: JSON's escapes are TOML's, but for the delete character."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")

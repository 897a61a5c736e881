"""Generated write keys, in DATA/keys.toml (mode 0600): made once, and rotated with a day in which the old one holds.

[sources.default]
write_key = "wk_..."
previous_write_key = "wk_..."                        # after a rotation
previous_write_key_until = "2030-01-31T12:00:00Z"
"""

import os
import secrets
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from appliance.core import durable, logs
from appliance.core.errors import ConfigError, Fault

FILE = "keys.toml"
PREVIOUS_VALID_MS = 24 * 3600 * 1000
"""A key that was rotated out is accepted this long."""


class Kept(NamedTuple):
    """The keys of one source."""

    write_key: str
    previous: str = ""
    """What stood before; "" before the first rotation."""
    until_ms: int = 0
    """`previous` is refused from this wall time on."""

    @property
    def until(self) -> str:
        """The same as the configuration has it."""
        return datetime.fromtimestamp(self.until_ms / 1000, UTC).isoformat(timespec="seconds") if self.previous else ""


def kept(data: Path) -> Kept:
    """The keys of a data folder, made on first use; two processes that start at once agree on one.

    Raises:
        ConfigError: the file cannot be read, written or understood.
    """
    path = data / FILE
    try:
        if not path.exists():
            _make(path)
        found = _read(path)
    except OSError as error:
        raise ConfigError([Fault(str(path), 0, "file", f"cannot be used: {error.strerror}")]) from None
    if found is None:
        hint = "delete the file, and a new key is made"
        raise ConfigError([Fault(str(path), 0, "sources.default.write_key", "holds no key", hint)])
    for key in (found.write_key, found.previous):
        logs.hide(key)
    return found


def rotated(data: Path, now_ms: int) -> Kept:
    """Put a new key into the file; the one that stood there holds for another day, whatever held before it ends.

    Args:
        now_ms: wall time.

    Raises:
        ConfigError: as `kept`.
    """
    until_ms = (now_ms + PREVIOUS_VALID_MS) // 1000 * 1000
    new = Kept(f"wk_{secrets.token_hex(16)}", kept(data).write_key, until_ms)
    path = data / FILE
    try:
        durable.rename(_written(path, new), path)
    except OSError as error:
        raise ConfigError([Fault(str(path), 0, "file", f"cannot be written: {error.strerror}")]) from None
    logs.hide(new.write_key)
    return new


def _read(path: Path) -> Kept | None:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))["sources"]["default"]
        key, previous = table["write_key"], table.get("previous_write_key", "")
        until = (
            datetime.fromisoformat(table["previous_write_key_until"]) if previous else datetime.fromtimestamp(0, UTC)
        )
        until_ms = int(until.timestamp() * 1000)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return Kept(key, previous, until_ms) if isinstance(key, str) and key and isinstance(previous, str) else None


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _written(path, Kept(f"wk_{secrets.token_hex(16)}"))
    try:
        os.link(temporary, path)  # fails where another process was first, and then its key holds
    except FileExistsError:
        pass
    finally:
        os.unlink(temporary)
    durable.sync_folder(path.parent)


def _written(path: Path, keys: Kept) -> Path:
    """A durable temporary file that holds these keys."""
    lines = [
        "# Made by Sternpost for runs without a configuration file; `sternpost keys` shows it.",
        "[sources.default]",
    ]
    lines.append(f'write_key = "{keys.write_key}"')
    if keys.previous:
        lines += [f'previous_write_key = "{keys.previous}"', f'previous_write_key_until = "{keys.until}"']
    return durable.beside(path, ("\n".join(lines) + "\n").encode())

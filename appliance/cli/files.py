"""Files that commands write: never over one that is there, whole or not at all, for nobody else's eyes."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.cli.output import CommandError


def check_free(target: Path | None, force: bool) -> None:
    """See to it before any work that a file can go there; None: to standard output.

    Raises:
        CommandError: it cannot (exit code 2).
    """
    if target is None:
        return
    if not target.parent.is_dir():
        raise CommandError(f"{target} cannot be written: there is no folder {target.parent}", "make it first", 2)
    if target.exists() and not force:
        raise CommandError(f"{target} is there already; nothing was written", "repeat with --force, or name another", 2)


def written(target: Path, parts: Iterator[bytes], show: Callable[[int], None]) -> int:
    """Write beside the file first, so that what breaks off is never taken for the whole; a pipe or a device as it is.

    Raises:
        CommandError: it cannot be written, or broke off.
    """
    is_special = target.exists() and not target.is_file()
    beside, count = target if is_special else target.with_name(f".{target.name}.{os.getpid()}.part"), 0
    try:
        # Personal data: for nobody else's eyes.
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            for part in parts:
                opened.write(part)
                count += len(part)
                show(count)
        if not is_special:
            beside.replace(target)
    except OSError as error:
        raise CommandError(
            f"{target} cannot be written: {error.strerror or error}", "make room, or name another"
        ) from None
    finally:
        if not is_special:
            beside.unlink(missing_ok=True)
    return count

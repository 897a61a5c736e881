"""Opens a page in a headless Chromium (Debian package) with a profile of its own, and closes it again."""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-breakpad",
    "--enable-logging=stderr",
)


def installed() -> str | None:
    """Path of the browser, or None."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


@contextlib.contextmanager
def open_page(url: str, folder: Path, *flags: str) -> Iterator[Path]:
    """Chromium showing `url` until the block ends; yields the file of what it wrote (console and network errors)."""
    program = installed()
    assert program, "chromium is not installed (Debian package: chromium)"
    log_path = folder / "chromium.log"
    command = [program, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", url]
    with log_path.open("wb") as log:
        browser = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            yield log_path
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(browser.pid, signal.SIGTERM)
            try:
                browser.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(browser.pid, signal.SIGKILL)
                browser.wait(10)

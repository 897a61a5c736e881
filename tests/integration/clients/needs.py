"""What a test needs from outside: without it a laptop skips the test, but never the continuous build, nor root.

`make test` installs everything when run as root.
"""

import os

import pytest


def require(present: bool, what: str) -> None:
    """Skip the test, or fail it where nothing may be missing."""
    if present:
        return
    text = f"{what} is missing; `make test` installs it"
    if os.environ.get("CI") or os.geteuid() == 0:
        pytest.fail(text)
    pytest.skip(text)

"""The product under a wall clock that jumps: a file says by how many seconds. For the clock proof alone.

Usage: JUMP_FILE=path python jump_clock.py run ...
"""

import os
import sys
import time
from pathlib import Path

_FILE = Path(os.environ["JUMP_FILE"])
_time, _time_ns = time.time, time.time_ns


def _jump_s() -> int:
    try:
        return int(_FILE.read_text() or 0)
    except (OSError, ValueError):
        return 0


if __name__ == "__main__":
    time.time = lambda: _time() + _jump_s()
    time.time_ns = lambda: _time_ns() + _jump_s() * 1_000_000_000
    from appliance.__main__ import main

    sys.exit(main())

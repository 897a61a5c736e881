"""The negative control: the product, made to acknowledge before it commits. It lives here and nowhere else.

Every append answers at once and reaches the log 0.2 s later, so a kill loses what was acknowledged in between.
"""

import asyncio
import sys
from typing import Any

from appliance.__main__ import main
from appliance.wal.log import Appended, Log

LATE_S = 0.2
_append: Any = Log.append


def _append_early(self: Log, records: list[Any]) -> "asyncio.Future[Appended]":
    loop = asyncio.get_running_loop()
    loop.call_later(LATE_S, _append, self, records)
    answer: asyncio.Future[Appended] = loop.create_future()
    answer.set_result(Appended(len(records), 0))
    return answer


if __name__ == "__main__":
    Log.append = _append_early  # type: ignore[method-assign]
    sys.exit(main())

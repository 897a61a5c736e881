"""Free ports below the kernel's ephemeral range, so that no outgoing connection takes one while its owner is down."""

import os
import random
import socket

# Test processes side by side each have ports of their own: one may be given and not listened on yet.
_SIDE_BY_SIDE = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))

_given: set[int] = set()


def free_port() -> int:
    """A loopback TCP port nobody listens on, never given twice by this process."""
    for _ in range(10_000):
        port = random.SystemRandom().randrange(15_000, 32_000)
        if port in _given or port % _SIDE_BY_SIDE != _NUMBER:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _given.add(port)
        return port
    raise RuntimeError("no free port between 15000 and 32000")

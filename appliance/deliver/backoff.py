"""How long to wait before the next attempt: exponential with full jitter, pure."""


def delay_ms(attempts: int, delay_min_ms: int, delay_max_ms: int, random: float) -> int:
    """The wait after `attempts` failed attempts (1 or more): a random share of a ceiling that doubles.

    Args:
        attempts: failed attempts so far.
        delay_min_ms: ceiling of the first wait.
        delay_max_ms: highest ceiling.
        random: in [0, 1), from outside.

    Source: "Exponential Backoff And Jitter" (full jitter), AWS architecture blog, 2015.
    """
    ceiling = min(delay_max_ms, delay_min_ms << min(max(attempts, 1) - 1, 40))
    return int(ceiling * random)

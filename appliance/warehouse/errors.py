"""Why an event has no rows: it becomes a dead letter with such a reason."""

COLUMNS_MAX = 1_600
"""Most columns of one row, the load time included. Source: contract/warehouse.md, Names."""
TOO_DEEP = "nested too deeply"


class Unmappable(Exception):
    """The event has no rows; it becomes a dead letter with this reason. The same words for the same cause."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TooManyColumns(Unmappable):
    """A row of the event would have more than `COLUMNS_MAX` columns, counting values that have no place in it."""

    def __init__(self) -> None:
        super().__init__(f"more than {COLUMNS_MAX:,} columns")

"""What happens when a destination lags too far: be loud and keep all, or skip the oldest and record it."""

from appliance.core import logs
from appliance.deliver.ports import Station
from appliance.wal.log import Log, Skip

SHARE_OF_BUDGET = 0.8
"""`backlog.bytes_max`, if it is not configured, as a share of the log's disk budget."""
_LOG = logs.logger("deliver")


def enforce_backlog(worker: Station, log: Log, disk_bytes_max: int) -> None:
    """Compare one destination's lag with its bounds and act by its `when_full`; on the delivery loop."""
    rules, name = worker.config.backlog, worker.stream.destination
    if worker.stream.replay or not worker.waits:
        return
    bytes_max = rules.bytes_max or int(disk_bytes_max * SHARE_OF_BUDGET)
    age_max_ms = None if rules.age_max is None else int(rules.age_max * 1000)
    backlog = log.backlog(name, worker.low)
    if backlog.bytes <= bytes_max and (age_max_ms is None or backlog.age_ms <= age_max_ms):
        return
    if rules.when_full == "block":
        _LOG.error(
            "backlog_filled",
            destination=name,
            bytes=backlog.bytes,
            age_s=backlog.age_ms // 1000,
            kept="everything, until the log's own budget is spent and the collector answers 503",
            advice='mend the destination, or set backlog.when_full = "skip"',
        )
        return
    to = _where_it_fits(worker, log, bytes_max, age_max_ms)
    first, last = worker.skip_to(to)
    if first > last:
        return
    skip = Skip(name, first, last, log.log_now_ms(), "backlog full")
    log.write(lambda transaction: transaction.save_skip(skip))
    _LOG.error(
        "backlog_skipped",
        destination=name,
        first=first,
        last=last,
        advice="a replay fills what retention still holds",
    )


def _where_it_fits(worker: Station, log: Log, bytes_max: int, age_max_ms: int | None) -> int:
    """The smallest sequence after which nine tenths of the bounds are kept."""
    low, high = worker.taken, worker.end
    while low < high:
        middle = (low + high) // 2
        backlog = log.backlog(worker.stream.destination, middle)
        if backlog.bytes > bytes_max * 0.9 or (age_max_ms is not None and backlog.age_ms > age_max_ms * 0.9):
            low = middle + 1
        else:
            high = middle
    return low

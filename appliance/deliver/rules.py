"""The limits of one destination, from its configuration and its plug-in's own. Pure but for the jitter's chance."""

import random

from appliance.core.config import DestinationConfig
from appliance.deliver.backoff import delay_ms
from appliance.deliver.breaker import Breaker
from appliance.deliver.instance import Instance
from appliance.deliver.order import Rules


def rules_of(config: DestinationConfig, instance: Instance) -> Rules:
    """What the order machine goes by; the configuration stands above the plug-in."""
    limits, retry = instance.limits, config.retry
    low_ms, high_ms = int(retry.delay_min * 1000), int(retry.delay_max * 1000)
    return Rules(
        in_flight_max=config.in_flight_max or limits.in_flight_max,
        lane_ready_max=max(1, config.read_ahead_max // 4),
        attempts_max=retry.attempts_max,
        age_max_ms=int(retry.age_max * 1000),
        delay_ms=lambda attempts: delay_ms(attempts, low_ms, high_ms, random.random()),
        many_per_lane=instance.batch == "atomic",
        batch_events_max=instance.batch_events_max,
        batch_bytes_max=config.batch_bytes_max,
        rate_per_s=config.rate_per_s or limits.rate_per_s,
    )


def breaker_of(config: DestinationConfig) -> Breaker:
    """Its breaker, closed."""
    rules = config.breaker
    return Breaker(rules.people, int(rules.window * 1000), int(rules.probe_min * 1000), int(rules.probe_max * 1000))

"""What `sternpost plugins new NAME` writes: a working plug-in, with words on everything that one can change."""

TEMPLATE = '''"""Posts every event to a URL. Say here in one line what {name} does, for `sternpost plugins list`."""

from appliance.sdk import Config, Event, Http, Limits, Log, Secret, Url

# How Sternpost may call `deliver`; a destination's own keys (in_flight_max, timeout, rate_per_s) come first.
LIMITS = Limits(in_flight_max=8, timeout_s=10.0)


class {kind}(Config):
    """The keys of this plug-in in [destinations.NAME]. What has no default must be given, and comes first."""

    url: Url
    """Where events go. The sentence under a key says what it is."""
    token: Secret | None = None
    """Sent as a bearer token; given as `env:NAME` or `file:PATH`, so that it stands in no file of yours."""


# The annotations say what Sternpost passes in: an Event (or Sequence[Event], for batches), the Config, and whatever
# else is asked for: Http (a shared, guarded client) and Log. An `async def` must never block; a plain `def` may: it
# runs in a thread, without Http.
async def deliver(event: Event, config: {kind}, http: Http, log: Log) -> None:
    """Deliver one event. To return is to say that it has arrived."""
    headers = {{"Authorization": f"Bearer {{config.token.reveal()}}"}} if config.token else {{}}

    # event.json holds the client's own bytes, enriched; event.as_dict() gives a dict, if you want to change things.
    # Also at hand: event.type, event.message_id (the same when an event comes again), event.user_id,
    # event.anonymous_id, event.source.
    reply = await http.post(config.url, body=event.json, headers=headers)
    log.debug("event_posted", status=reply.status)

    # 2xx is delivered; 408, 429 and 5xx raise Retry (with the server's Retry-After), everything else raises Abort.
    # Where the target has rules of its own, raise them yourself:
    #     raise Retry("quota is spent", after_s=60)    the event waits, and so do later ones of the same person
    #     raise Abort("no such list")                  the event becomes a dead letter, and the next one goes out
    reply.raise_for_status()
'''


def plugin_text(name: str) -> str:
    """The file's text for a plug-in of this name (letters, digits and `_`)."""
    kind = "".join(part[:1].upper() + part[1:] for part in name.split("_")) or "Mine"
    return TEMPLATE.format(name=name, kind=f"{kind}Config" if kind in _TAKEN else kind)


_TAKEN = {"Config", "Event", "Http", "Limits", "Log", "Secret", "Url"}

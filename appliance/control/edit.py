"""An operator's version of an event: whether it may take the place of a dead letter's original. Pure."""

import msgspec

from appliance.collect import parse, repair
from appliance.control import views
from appliance.control.parts import ApiError, invalid
from appliance.core.config import CollectConfig
from appliance.core.event import MESSAGE_ID_SET, Record
from appliance.process.resolve import lane_of
from appliance.wal.types import DeadLetter


def edited(letter: DeadLetter, event: bytes, limits: CollectConfig) -> Record:
    """The letter's original with another event in it: its place in the log, its arrival and its person stay.

    Raises:
        ApiError: the letter holds no original, the event could not have been collected, or it is another event.
    """
    original = views.original_of(letter)
    if original is None:
        words = f"dead letter {letter.id} does not hold its original; nothing was done"
        raise ApiError(409, "refused", words, "requeue it as it is")
    envelope = parse.Envelope(original.source, original.received_ms, original.client)
    bounds = parse.Limits(limits.event_bytes_max, limits.depth_max)
    parsed = parse.parse_event(event, original.type, envelope, bounds)
    parsed = parsed or repair.parse_event(event, original.type, envelope, bounds)
    if parsed.refused:
        why = parsed.refused[0][0].reason
        raise invalid(f"the event could not have been collected: {why}; the dead letter was kept")
    record = parsed.records[0]
    if record.flags & MESSAGE_ID_SET and original.flags & MESSAGE_ID_SET:
        record.message_id = original.message_id
    if record.message_id != original.message_id:
        raise _another("messageId", original.message_id)
    if lane_of(record) != lane_of(original):
        raise _another("anonymousId or userId", lane_of(original)[2:])
    return msgspec.structs.replace(record, sequence=original.sequence, sent_at=original.sent_at)


def _another(what: str, value: str) -> ApiError:
    words = f"{what} must stay {value!r}: it is how the event is known and ordered; the dead letter was kept"
    return invalid(words, "change anything else, or send the event anew")

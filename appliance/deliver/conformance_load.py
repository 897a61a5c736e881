"""The load that the conformance kit gives to a warehouse."""

from appliance.sdk import Column, Load, Table

STREAM, LOG_ID, CURSOR = "conformance", "conformance-log", 2
_MOMENTS = ["2026-01-01T00:00:00.000Z", "2026-01-01T00:00:01.000Z"]


def sample_load() -> Load:
    """Two rows of one table, in types that every dialect understands."""
    columns = [
        Column("id", "string", "VARCHAR"),
        Column("context_source_id", "string", "VARCHAR"),
        Column("received_at", "datetime", "TIMESTAMP"),
    ]
    values = [["a", "b"], ["web", "web"], list(_MOMENTS)]
    table = Table("tracks", columns, values, "newest", ("id", "context_source_id"))
    return Load(
        stream=STREAM, log_id=LOG_ID, first_sequence=1, last_sequence=CURSOR, loaded_at=_MOMENTS[1], tables=[table]
    )

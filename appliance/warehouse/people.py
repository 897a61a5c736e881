"""The table of who is who, and the view that joins any row to its person. Pure.

Raw rows keep the ids that they came with, and are not written again: who they are is looked up by an id, now.

    SELECT id_map.person_id, count(*) FROM orders
    JOIN id_map ON id_map.id_type = 'anonymous_id' AND id_map.id_value = orders.anonymous_id GROUP BY 1

Source: contract/warehouse.md, Loading (identity tables).
"""

from collections.abc import Sequence

from appliance.core.loads import Column, Table
from appliance.warehouse.dialect import Dialect, Type

MAPPINGS = "rudder_identity_mappings"
VIEW = "id_map"
_COLUMNS: dict[str, Type] = {
    "merge_property_type": "string",
    "merge_property_value": "string",
    "rudder_id": "string",
    "updated_at": "datetime",
}
_VIEW = {
    "id_type": "merge_property_type",
    "id_value": "merge_property_value",
    "person_id": "rudder_id",
    "updated_at": "updated_at",
}


def people_table(ids: Sequence[tuple[str, str, str]], loaded_at: str, dialect: Dialect) -> Table:
    """Rows of (type, value, person), at most one of each id; the newest stays in the warehouse."""
    cased = dialect.cased
    types, values, people = (list(column) for column in zip(*ids, strict=True)) if ids else ([], [], [])
    if not dialect.holds_nul:
        values = [value.replace("\0", "\ufffd") for value in values]
    return Table(
        name=cased(MAPPINGS),
        columns=[Column(cased(name), type, dialect.types[type]) for name, type in _COLUMNS.items()],
        values=[types, values, people, [loaded_at] * len(ids)],
        mode="newest",
        key=(cased("merge_property_type"), cased("merge_property_value")),
        views={cased(VIEW): {cased(name): cased(column) for name, column in _VIEW.items()}},
        by=cased("updated_at"),
    )

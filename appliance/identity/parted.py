"""How somebody was parted from others by an operator, the last time, as far as that holds. Reads only."""

from collections.abc import Sequence
from typing import NamedTuple

from appliance.identity.acts import Undoing, act_kept, outcome_of
from appliance.identity.lookup import Lookup, one_moment, roots

LOOKS_MAX = 20
"""So many acts about somebody are looked at, the newest."""
_ACTS = """SELECT splits.person, splits.former, acts.act, acts.outcome FROM acts
    JOIN splits ON splits.split >= acts.place << 16 AND splits.split < (acts.place + 1) << 16
    WHERE splits.person IN (SELECT value FROM json_each(?1)) OR splits.former IN (SELECT value FROM json_each(?1))
    ORDER BY acts.place DESC LIMIT ?2"""
"""Acts are few, operators do them by hand; what each parted stands together."""


class Parted(NamedTuple):
    """Two people who were one."""

    person: str
    """The other one, as they are called now."""
    merge: str
    """That was undone; "" where ids were forbidden to be one person's."""
    when_ms: int
    """0: nobody knows."""
    by: str
    """Who asked for it; "" where nobody knows."""


def parted(lookup: Lookup, names: Sequence[str]) -> Parted | None:
    """Whom an operator parted somebody from last, and who are two people still; None where there is nobody.

    Args:
        names: all that they are called and were, as `Lookup.names_and_ids` tells them.
    """
    store = lookup.store()
    mine = {number for name in names if (number := store.names.number(name)) is not None}
    with one_moment(store):
        for person, former, act, outcome in list(store.rows(_ACTS, store.array(mine), LOOKS_MAX)):
            other = former if person in mine else person
            root = roots(store, [other])[other]
            if root not in mine:
                asked, done = act_kept(act), outcome_of(outcome)
                merge = asked.undo.merge if isinstance(asked.undo, Undoing) else asked.undo
                return Parted(store.names.text(root), merge, done.when_ms, done.by)
    return None

"""What is shown of the person graph's answers, with values of ids hidden from whoever may not see payloads."""

from collections.abc import Callable, Sequence
from typing import Any

from appliance.control.people.replies import (
    DeviceView,
    GroupView,
    IdView,
    LinkView,
    MemberView,
    MergeView,
    PairView,
    Parting,
    PersonDetail,
)
from appliance.identity.export import day
from appliance.identity.findings import Link, Member, Merge, Person
from appliance.identity.rules import Id

PLAIN_TYPES = {"anonymous_id": "anonymousId", "user_id": "userId"}
"""Ids that every list of events shows -> how events call them."""


def id_view(id: Id, payloads: bool) -> IdView:
    """One id."""
    return IdView(id.type, _value(id, payloads))


def person_detail(person: Person, payloads: bool, completed: Callable[[Merge], Merge]) -> PersonDetail:
    """All of a person.

    Args:
        completed: adds what the log knows of a merge.
    """
    return PersonDetail(
        person=person.person,
        was=person.was,
        members=[MemberView(**_member(one, payloads)) for one in person.members],
        left_out=[_link(one, payloads) for one in person.left_out],
        left_out_total=person.left_out_count,
        devices=[DeviceView(**_member(one, payloads), person=who) for one, who in person.devices],
        merges=[merge_view(completed(one), payloads) for one in person.merges],
        forbidden=[PairView(id_view(one, payloads), id_view(other, payloads)) for one, other in person.forbidden],
    )


def merge_view(merge: Merge, payloads: bool) -> MergeView:
    """One merge."""
    return MergeView(
        merge=merge.name,
        when_ms=merge.when_ms,
        loser=merge.loser,
        winner=merge.winner,
        ids=[id_view(one, payloads) for one in merge.ids],
        message_id=merge.message_id,
        source=merge.source,
        holds=not merge.ended,
        ended=merge.ended,
    )


def parting(groups: Sequence[Sequence[Id]], payloads: bool) -> Parting:
    """Who would be parted from whom."""
    return Parting([GroupView([id_view(one, payloads) for one in group]) for group in groups])


def _member(member: Member, payloads: bool) -> dict[str, Any]:
    return {
        "type": member.id.type,
        "value": _value(member.id, payloads),
        "first_seen_ms": member.first_ms,
        "last_seen": day(member.last_day),
        "edges": member.edges,
        "shared": member.shared,
        "unique_ids": member.users,
    }


def _link(link: Link, payloads: bool) -> LinkView:
    return LinkView(
        id=id_view(link.one, payloads),
        other=id_view(link.other, payloads),
        other_person=link.person,
        reason=link.reason,
        received_ms=link.received_ms,
        event_ms=link.event_ms,
        source=link.source,
        message_id=link.message_id,
        explicit=link.explicit,
    )


def _value(id: Id, payloads: bool) -> str:
    return id.value if payloads or id.type in PLAIN_TYPES else ""

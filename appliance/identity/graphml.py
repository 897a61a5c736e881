"""One person as GraphML: ids are nodes, what came together are edges, those left out too; opens in Gephi and networkx.

Source: GraphML 1.0, http://graphml.graphdrawing.org (keys, then one graph; unknown `for` is refused by readers).
"""

import re
from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from appliance.identity.export import day, moment
from appliance.identity.findings import Link, Member, Person
from appliance.identity.rules import Id

# GraphML's XML namespace, by which readers know the format.
_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
_NODE_KEYS = {
    "label": "string", "type": "string", "value": "string", "person": "string", "member": "boolean",
    "shared": "boolean", "first_seen": "string", "last_seen": "string",
}  # fmt: skip
_EDGE_KEYS = {
    "holds": "boolean", "reason": "string", "explicit": "boolean", "received": "string", "event_time": "string",
    "source": "string", "message_id": "string", "rules": "int", "weight": "double",
}  # fmt: skip
# What XML 1.0 has no way to write; ids hold hardly any of it, as they are cleaned when they are read.
_UNWRITABLE = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def graphml(person: Person) -> Iterator[str]:
    """The document in pieces, each of some lines."""
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f'<graphml xmlns="{_NAMESPACE}">\n'
    for domain, keys in (("node", _NODE_KEYS), ("edge", _EDGE_KEYS)):
        for name, kind in keys.items():
            yield f'  <key id="{domain}_{name}" for="{domain}" attr.name="{name}" attr.type="{kind}"/>\n'
    yield f'  <graph id={_attribute(person.person)} edgedefault="undirected">\n'
    for member in person.members:
        yield _node(member.id, person.person, member, is_member=True)
    known = {member.id for member in person.members}
    shared = {device.id: device for device, _ in person.devices}
    for link in person.left_out:
        if link.other not in known:
            known.add(link.other)
            yield _node(link.other, link.person, shared.get(link.other), is_member=False)
    for number, link in enumerate((*person.links, *person.left_out)):
        yield _edge(number, link)
    yield "  </graph>\n</graphml>\n"


def _node(id: Id, person: str, member: Member | None, *, is_member: bool) -> str:
    values = {"label": f"{id.type}:{id.value}", "type": id.type, "value": id.value, "person": person}
    values |= {"member": _boolean(is_member), "shared": _boolean(member is not None and member.shared)}
    if member is not None:
        values |= {"first_seen": moment(member.first_ms), "last_seen": day(member.last_day)}
    return f"    <node id={_attribute(_name(id))}>\n{_data('node', values)}    </node>\n"


def _edge(number: int, link: Link) -> str:
    values = {
        "holds": _boolean(not link.reason),
        "reason": link.reason,
        "explicit": _boolean(link.explicit),
        "received": moment(link.received_ms),
        "event_time": moment(link.event_ms),
        "source": link.source,
        "message_id": link.message_id,
        "rules": str(link.version),
        "weight": "0.1" if link.reason else "1.0",  # layouts draw by it: what is left out pulls little
    }
    ends = f"source={_attribute(_name(link.one))} target={_attribute(_name(link.other))}"
    return f'    <edge id="e{number}" {ends}>\n{_data("edge", values)}    </edge>\n'


def _data(domain: str, values: dict[str, str]) -> str:
    return "".join(
        f'      <data key="{domain}_{name}">{escape(_written(text))}</data>\n' for name, text in values.items()
    )


def _name(id: Id) -> str:
    return f"{id.type}:{id.value}"


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _attribute(text: str) -> str:
    return quoteattr(_written(text))


def _written(text: str) -> str:
    return _UNWRITABLE.sub("\ufffd", text)

"""What browser SDKs fetch before they send anything, answered here so that no hosted control plane is needed. Pure.

Source: contract/http.md, What real clients do, point 6.
"""

import hashlib
import re
from importlib import metadata

import msgspec

from appliance.collect.admission import Source

ROBOTS = b"User-agent: *\nDisallow: /\n"
PIXEL = bytes.fromhex(
    "47494638396101000100800000000000ffffff21f90401000000002c00000000010001000002024401003b"
)  # a transparent GIF of 1x1
_HOST = re.compile(r"[A-Za-z0-9._\[\]:-]{1,255}", re.ASCII)


def source_config(source: Source) -> bytes:
    """RudderStack's browser SDK: nothing to load, and no reports to anybody else."""
    off = {"enabled": False}
    return msgspec.json.encode({
        "source": {
            "id": _id(source.name), "name": source.name, "writeKey": source.key, "enabled": source.enabled,
            "config": {"statsCollection": {"errors": off, "metrics": off}},
            "connections": [], "destinations": [], "dataplanes": {}, "workspaceId": "sternpost",
            "updatedAt": "2026-01-01T00:00:00.000Z",
        },
        "updatedAt": "2026-01-01T00:00:00.000Z",
    })  # fmt: skip


def settings(source: Source, public_url: str, host: str, *, is_tls: bool) -> bytes:
    """Segment's browser SDK: where to send.

    Args:
        public_url: as configured; "" takes what the page called us by.
        host: the request's Host header.
    """
    segment: dict[str, object] = {"apiKey": source.key}
    scheme, _, rest = (public_url or f"{'https' if is_tls else 'http'}://{host}").partition("://")
    if public_url or _HOST.fullmatch(host):
        segment |= {"apiHost": f"{rest.rstrip('/')}/v1", "protocol": scheme}
    return msgspec.json.encode({
        "integrations": {"Segment.io": segment},
        "plan": {"track": {"__default": {"enabled": True, "integrations": {}}}},
        "edgeFunction": {}, "analyticsNextEnabled": True, "middlewareSettings": {}, "enabledMiddleware": {},
        "metrics": {"sampleRate": 0.0}, "legacyVideoPluginsEnabled": False, "remotePlugins": [],
    })  # fmt: skip


def version() -> bytes:
    """Which program answers."""
    try:
        number = metadata.version("sternpost")
    except metadata.PackageNotFoundError:
        number = "unknown"
    return msgspec.json.encode({"name": "sternpost", "version": number})


def _id(name: str) -> str:
    """A stable id in the form that RudderStack's ids have."""
    return hashlib.blake2b(name.encode(), digest_size=14).hexdigest()[:27]

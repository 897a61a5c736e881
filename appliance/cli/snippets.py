"""What to paste: curl, the browser snippet and SDK lines for a source's key; pure text from a configuration."""

import json
import shlex
from pathlib import Path

from appliance.cli.output import styled
from appliance.core.config import Config
from appliance.core.units import parse_address

FIRST_QUERY = "SELECT event_text, count(*) AS events FROM tracks GROUP BY ALL ORDER BY events DESC"
_WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def collect_url(config: Config, bound: tuple[str, int] | None = None) -> str:
    """How clients on this machine reach the collector.

    Args:
        config: `public_url` wins; TLS makes it https.
        bound: the address that was really bound, where port 0 let the system choose.
    """
    if config.collect.public_url:
        return config.collect.public_url.rstrip("/")
    host, port = bound or parse_address(config.collect.listen)
    host = _WILDCARDS.get(host, f"[{host}]" if ":" in host else host)
    return f"http{'s' if config.collect.tls else ''}://{host}:{port}"


def curl(url: str, key: str) -> str:
    """A command that sends one event, to be pasted as it stands."""
    event = {"userId": "user-1", "event": "Order Completed", "properties": {"total": 12.5}}
    return (
        f"curl -sS -u {shlex.quote(key + ':')} -H 'Content-Type: application/json' "
        f"-d {shlex.quote(json.dumps(event))} {shlex.quote(url + '/v1/track')}"
    )


def browser(url: str, key: str) -> str:
    """RudderStack's browser SDK, its configuration fetched from this collector."""
    return (
        "<script>\n"
        f'  window.rudderanalytics = [["load", {json.dumps(key)}, {json.dumps(url)}, '
        f'{{ configUrl: {json.dumps(url)} }}], ["page"]];\n'
        "</script>\n"
        '<script async src="https://cdn.rudderlabs.com/v3/modern/rsa.min.js"></script>'
    )


def python(url: str, key: str) -> str:
    """rudder-sdk-python."""
    return (
        "import rudderstack.analytics as rudder\n"
        f"rudder.write_key, rudder.dataPlaneUrl = {json.dumps(key)}, {json.dumps(url)}\n"
        'rudder.track("user-1", "Order Completed", {"total": 12.5})\n'
        "rudder.flush()"
    )


def node(url: str, key: str) -> str:
    """@rudderstack/rudder-sdk-node."""
    return (
        'const Rudder = require("@rudderstack/rudder-sdk-node");\n'
        f"const rudder = new Rudder({json.dumps(key)}, {{ dataPlaneUrl: {json.dumps(url)} }});\n"
        'rudder.track({ userId: "user-1", event: "Order Completed", properties: { total: 12.5 } });\n'
        "rudder.flush();"
    )


def outputs(config: Config, base: Path) -> list[str]:
    """Commands that show the newest event of each `jsonl` destination.

    Args:
        base: folder that relative paths in the configuration start from.
    """
    commands, here = [], Path.cwd()
    for destination in config.destinations.values():
        if destination.plugin == "jsonl" and destination.enabled and "folder" in destination.options:
            folder = (base / str(destination.options["folder"])).absolute()
            shown = shlex.quote(str(folder.relative_to(here) if folder.is_relative_to(here) else folder))
            packed = destination.options.get("zstd") is True
            commands.append(f"zstdcat {shown}/*.zst | tail -n 1" if packed else f"tail -qn 1 {shown}/*.jsonl")
    return commands


def for_source(name: str, url: str, key: str) -> str:
    """All ways to send as one source, titled."""
    parts = [("curl", curl(url, key)), ("browser", browser(url, key)), ("Python", python(url, key)),
             ("Node.js", node(url, key))]  # fmt: skip
    blocks = [f"{styled(title, 'bold')}\n{_indented(text)}" for title, text in parts]
    return f"{styled('source', 'bold')} {name}, write key {key}\n\n" + "\n\n".join(blocks)


def banner(config: Config, bound: tuple[str, int], base: Path, program: str, console: str = "") -> str:
    """What `sternpost run` says once events are accepted.

    Args:
        config: the running configuration.
        bound: the collector's real host and port; port 0 where it does not listen.
        base: folder that relative paths in the configuration start from.
        program: how this command is called here, with the flags that find this data folder again.
        console: link that opens the console in a browser; "" where there is none.
    """
    if not bound[1]:
        return styled(f"Sternpost runs, but nothing listens on {config.collect.listen}: see the log.", "yellow")
    url = collect_url(config, bound)
    lines = [styled(f"Sternpost is ready: send events to {url}", "green")]
    enabled = {name: source for name, source in config.sources.items() if source.enabled}
    if not enabled:
        return "\n".join([*lines, "No source is enabled: add [sources.NAME] with a write_key to the configuration."])
    key = next(iter(enabled.values())).write_key.reveal()
    blocks = [("Send an event, in a second terminal:", curl(url, key))]
    if commands := outputs(config, base):
        blocks.append(("See it arrive:", "\n".join(commands)))
    if any(one.plugin == "duckdb" and one.enabled for one in config.destinations.values()):
        blocks.append(("Ask the warehouse:", f"{program} query {shlex.quote(FIRST_QUERY)}"))
    blocks += [
        ("In a browser:", browser(url, key)),
        ("In Python (rudder-sdk-python):", python(url, key)),
        ("In Node.js (@rudderstack/rudder-sdk-node):", node(url, key)),
        *([("Open the console in a browser (the link works once, for ten minutes):", console)] if console else []),
        ("Look around:", f"{program} status\n{program} tail\n{program} send --count 100"),
    ]
    lines += [f"\n{styled(title, 'bold')}\n{_indented(text)}" for title, text in blocks]
    if len(enabled) > 1:
        lines.append(f"\n`{program} keys` shows this for every source: {', '.join(enabled)}")
    return "\n".join([*lines, "\nCtrl-C stops; nothing acknowledged is lost."])


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())

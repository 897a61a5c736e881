"""What to paste: curl, the browser snippet and SDK lines for a source's key; pure text from a configuration."""

import json
import shlex
from pathlib import Path

from appliance.cli.output import styled
from appliance.core.config import Config
from appliance.core.units import parse_address

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


def output_folders(config: Config) -> list[Path]:
    """Folders that `jsonl` destinations write to, relative to here where that is shorter."""
    folders = [
        Path(str(destination.options["folder"]))
        for destination in config.destinations.values()
        if destination.plugin == "jsonl" and destination.enabled and "folder" in destination.options
    ]
    here = Path.cwd()
    return [folder.relative_to(here) if folder.is_relative_to(here) else folder for folder in folders]


def for_source(name: str, url: str, key: str) -> str:
    """All ways to send as one source, titled."""
    parts = [("curl", curl(url, key)), ("browser", browser(url, key)), ("Python", python(url, key)),
             ("Node.js", node(url, key))]  # fmt: skip
    blocks = [f"{styled(title, 'bold')}\n{_indented(text)}" for title, text in parts]
    return f"{styled('source', 'bold')} {name}, write key {key}\n\n" + "\n\n".join(blocks)


def banner(config: Config, bound: tuple[str, int], data: Path) -> str:
    """What `sternpost run` says once events are accepted.

    Args:
        config: the running configuration.
        bound: the collector's real host and port; port 0 where it does not listen.
        data: the data folder.
    """
    if not bound[1]:
        return styled(f"Sternpost runs, but nothing listens on {config.collect.listen}: see the log.", "yellow")
    url = collect_url(config, bound)
    lines = [styled(f"Sternpost is ready: send events to {url}", "green"), f"data folder: {data}", ""]
    enabled = {name: source for name, source in config.sources.items() if source.enabled}
    if not enabled:
        return "\n".join([*lines, "No source is enabled: add [sources.NAME] with a write_key to the configuration."])
    source = next(iter(enabled.values()))
    key = source.write_key.reveal()
    lines += [styled("Send an event:", "bold"), _indented(curl(url, key)), ""]
    for folder in output_folders(config):
        lines += [styled("See it arrive:", "bold"), _indented(f"tail -n 1 {shlex.quote(str(folder))}/*.jsonl"), ""]
    lines += [styled("In a browser:", "bold"), _indented(browser(url, key)), ""]
    lines += [styled("In Python (rudder-sdk-python):", "bold"), _indented(python(url, key)), ""]
    lines += [styled("In Node.js (@rudderstack/rudder-sdk-node):", "bold"), _indented(node(url, key)), ""]
    if len(enabled) > 1:
        lines.append("`sternpost keys` shows this for all sources: " + ", ".join(enabled))
    lines.append("In a second terminal: `sternpost status`, `sternpost tail`, `sternpost send`. Ctrl-C stops.")
    return "\n".join(lines)


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())

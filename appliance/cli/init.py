"""`sternpost init`: write a commented sternpost.toml with a fresh write key; never overwrite one."""

import argparse
import json
from pathlib import Path

from appliance.cli import output
from appliance.cli.frame import DEFAULT_CONFIG, DEFAULT_DATA

SERVICE_CONFIG_FOLDER, SERVICE_DATA = Path("/etc/sternpost"), Path("/var/lib/sternpost")
"""Those of packaging/systemd/sternpost.service, which may write below the second alone."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Writes ./sternpost.toml, or the file named with --config. Its destinations `files` and `warehouse` write\n"
        "below the data folder: the one named with --data; for a file in /etc/sternpost that of the service,\n"
        "/var/lib/sternpost."
    )


def run(args: argparse.Namespace) -> int:
    import secrets

    path = args.config or DEFAULT_CONFIG
    try:
        with open(path, "x", encoding="utf-8") as opened:
            opened.write(template(path, args.data, f"wk_{secrets.token_hex(16)}"))
    except FileExistsError:
        raise output.CommandError(
            f"{path} exists and was left as it is", "edit it, or name another file with --config", code=2
        ) from None
    except OSError as error:
        raise output.CommandError(f"{path} cannot be written: {error.strerror}") from None
    print(f"{path} is written. Next: edit it, `sternpost check`, `sternpost run`.")
    return 0


def template(path: Path, data: Path, write_key: str) -> str:
    """The file's text.

    Args:
        path: where it will stand.
        data: the data folder; the default one is the service's where the file is the service's.
    """
    from appliance.core.settings import WAREHOUSE_FILE

    if data == DEFAULT_DATA and path.absolute().parent == SERVICE_CONFIG_FOLDER:
        data = SERVICE_DATA
    elif data != DEFAULT_DATA or path.absolute().parent != Path.cwd():
        data = data.absolute()  # In the file, relative paths start from the file's folder.
    text = TEMPLATE.replace("WRITE_KEY", write_key)
    for word, place in (("OUT_FOLDER", data / "out"), ("WAREHOUSE_FILE", data / WAREHOUSE_FILE)):
        text = text.replace(f'"{word}"', json.dumps(str(place), ensure_ascii=False))
    return text


TEMPLATE = """\
# Sternpost. Every key is explained in docs/configuration.md; `sternpost check` finds every fault in this file.
# Sizes: 1024, "512 KiB", "4 GiB". Durations: 30 (seconds), "500ms", "24h", "3d".
# A line that begins with "#key = value" shows a default or an example: take the # away to use it.

[collect]
listen = "127.0.0.1:8080"              # "0.0.0.0:8080" to accept events from other machines
#public_url = "https://events.example" # how browsers reach this collector
#trusted_proxies = ["10.0.0.0/8"]      # networks whose X-Forwarded-For is believed

#[collect.tls]
#certificate = "/etc/sternpost/cert.pem"
#key = "/etc/sternpost/key.pem"

[control]
listen = "127.0.0.1:8081"              # the admin API; keep it on loopback

[wal]
disk_bytes_max = "4 GiB"               # disk budget: at 90 % of it the collector answers 503
retention = "24h"                      # delivered events are kept this long for replay
#on_full = "reject"                    # or "drop_oldest"

# One table per source: whoever sends with its write key.
[sources.web]
write_key = "WRITE_KEY"
#origins = ["https://shop.example"]    # browsers on these sites only; default: any
#webhook = true                        # accept any JSON on /v1/webhook
#rate_per_s = 1000

# One table per destination. `plugin` names the plug-in (`sternpost plugins list`); its own keys stand beside ours.
[destinations.files]
plugin = "jsonl"
folder = "OUT_FOLDER"  # the plug-in's own key
start = "oldest"                       # a new destination begins: "now", "oldest" or at a time

# Tables for `sternpost query`, in one DuckDB file on this machine.
[destinations.warehouse]
plugin = "duckdb"
path = "WAREHOUSE_FILE"
start = "oldest"
#memory = "128 MiB"                    # most that DuckDB takes for a load or a query
[destinations.warehouse.load]
every = "5s"                           # longest wait between two loads

#[destinations.crm]
#plugin = "webhook"
#url = "http://127.0.0.1:9000/events"
#sources = ["web"]                     # default: all
#[destinations.crm.retry]
#attempts_max = 50
#age_max = "3d"

[logs]
level = "info"                         # debug, info, warning, error
format = "text"                        # or "json"
"""

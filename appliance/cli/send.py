"""`sternpost send`: sample shop and camera events, to try things out or to put load on."""

import argparse
import sys
from typing import TYPE_CHECKING

from appliance.cli.frame import add_json

if TYPE_CHECKING:
    from appliance.cli.sending import Plan, Summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Without --url and --key it sends to the process that runs on the data folder, as its first enabled source.\n"
        "A person's events are sent one after the other. 429 and 503 are waited out, as an SDK would,\n"
        "and the first such wait says why.\n"
        "Exit code 1 when events were refused, 4 when no process runs."
    )
    parser.add_argument("--kind", choices=("shop", "camera", "both"), default="both", help="which (default: both)")
    parser.add_argument("--count", "-n", type=int, default=100, metavar="N", help="0: until Ctrl-C (default: 100)")
    parser.add_argument("--rate", "-r", type=float, default=0.0, metavar="N", help="events per second (default: any)")
    parser.add_argument("--people", "-p", type=int, default=20, metavar="N", help="different people (default: 20)")
    parser.add_argument("--batch", "-b", type=int, default=1, metavar="N", help="events per request (default: 1)")
    parser.add_argument("--connections", type=int, default=4, metavar="N", help="requests at once (default: 4)")
    parser.add_argument("--seed", type=int, metavar="N", help="send what this seed gave before, ids too")
    parser.add_argument("--source", metavar="NAME", help="send as this source")
    parser.add_argument("--key", metavar="KEY", help="send with this write key; env:NAME and file:PATH too")
    parser.add_argument("--url", metavar="URL", help="send to this data plane")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    from appliance.cli import output, sending

    summary = sending.send(_plan(args), _progress(args))
    if args.json:
        output.print_json(summary.as_dict())
    else:
        _show(summary)
    return 0 if not summary.error else 1


def _plan(args: argparse.Namespace) -> "Plan":
    import random

    from appliance.cli.output import CommandError
    from appliance.cli.sending import CONNECTIONS_MAX, Plan

    for name, least, most in (
        ("count", 0, 1 << 40),
        ("rate", 0, 1e9),
        ("people", 1, 10_000_000),
        ("batch", 1, 2_000),
        ("connections", 1, CONNECTIONS_MAX),
    ):
        if not least <= getattr(args, name) <= most:
            raise CommandError(f"--{name} is between {least} and {most}", "", 2)
    url, key = _where(args)
    return Plan(
        url=url,
        key=key,
        kind=args.kind,
        count=args.count,
        rate=args.rate,
        people=args.people,
        batch=args.batch,
        connections=args.connections,
        seed=random.SystemRandom().randrange(1 << 53) if args.seed is None else args.seed,
    )


def _where(args: argparse.Namespace) -> tuple[str, str]:
    """URL and write key: as given, or those of the running process."""
    from appliance.cli import client
    from appliance.cli.output import CommandError
    from appliance.core.secret import Secret

    try:
        key = Secret.resolve(args.key, literal=True).reveal() if args.key else ""
    except ValueError as error:
        raise CommandError(f"--key: {error}", "", 2) from None
    if args.url and not args.url.startswith(("http://", "https://")):
        raise CommandError(f"--url {args.url!r} is no http:// or https:// address", "", 2)
    if args.url and key:
        return args.url.rstrip("/"), key
    process = client.find(args.data)
    url = args.url or process.get("/v1/overview")["collect_url"]
    if not url:
        raise CommandError("the process runs, but its collector does not listen", "`sternpost status` tells why")
    if not key:
        sources = {source["name"]: source["enabled"] for source in process.get("/v1/sources")["sources"]}
        name = args.source or next((name for name, enabled in sources.items() if enabled), "")
        if not name:
            raise CommandError("no source is enabled", "add [sources.NAME] with a write_key to the configuration")
        key = process.get(f"/v1/sources/{client.segment(name)}/key")["write_key"]
    return url.rstrip("/"), key


def _progress(args: argparse.Namespace) -> bool:
    return not args.json and sys.stderr.isatty()


def _show(summary: "Summary") -> None:
    from appliance.cli import text

    rate = summary.sent / summary.seconds if summary.seconds else 0.0
    print(
        f"{text.count(summary.sent, 'event')} acknowledged in {summary.seconds:.1f} s ({rate:,.0f} per second), "
        f"answers p50 {summary.latency_ms(0.5):.1f} ms, p95 {summary.latency_ms(0.95):.1f} ms"
    )
    if summary.waits:
        print(f"{text.count(summary.waits, 'answer')} 429 or 503, or no answer, waited out")
    if summary.error:
        from appliance.cli import output

        output.error(summary.error)
    elif summary.last_message_id:
        print(f"where is the last one: sternpost trace {summary.last_message_id}")

"""Plays the scenario with an unmodified Python SDK: `drive.py rudderstack|segment URL WRITE_KEY SCENARIO`.

The Python SDKs post their batches one after another, so what is sent arrives in the order of the calls.
"""

import importlib
import json
import logging
import sys
from pathlib import Path
from typing import Any


def main(package: str, url: str, write_key: str, scenario_path: str) -> int:
    scenario = json.loads(Path(scenario_path).read_text(encoding="utf-8"))
    logging.basicConfig(level=logging.ERROR)
    sdk: Any = importlib.import_module(f"{package}.analytics")
    errors: list[str] = []
    client = sdk.Client(
        write_key,
        host=url,
        gzip=package == "rudderstack",
        max_retries=3,
        on_error=lambda error, items: errors.append(f"{len(items)} items: {error!r}"),
    )
    calls = play(client, scenario)
    client.shutdown()
    print(json.dumps({"calls": calls, "errors": errors}))
    return 1 if errors else 0


def play(client: Any, scenario: dict[str, Any]) -> int:
    """Make every call of the scenario; returns how many."""
    person, properties, traits = scenario["person"], scenario["properties"], scenario["traits"]
    who = {"user_id": person["userId"], "anonymous_id": person["anonymousId"]}
    client.identify(traits=dict(traits), context={"locale": "he-IL", "app": {"": None}}, **who)
    client.track(event="Order Completed ✅", properties=dict(properties), integrations={"All": True}, **who)
    client.page(category="Docs", name="Início", properties=dict(properties), **who)
    client.screen(category="Camera", name="玄関", properties=dict(properties), **who)
    client.group(group_id=person["groupId"], traits=dict(traits), **who)
    client.alias(previous_id=person["previousId"], user_id=person["userId"])
    for index in range(scenario["rapid"]):
        client.track(event="Rapid", properties={"index": index, "note": f"№{index} 🚀"}, **who)
    return 6 + int(scenario["rapid"])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

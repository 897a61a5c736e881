"""Sources that are believed less, on the real process: what they may teach, over a re-load and a kill -9."""

import json
from collections.abc import Callable
from typing import Any

from tests.integration.test_people import ANN, BAD_ALIAS, BOB, person, send
from tests.support.appliance import WRITE_KEY, Appliance, webhook
from tests.support.sink import Sink
from tests.support.waiting import until
from tests.support.wire import post

PAGE_KEY, BEACON_KEY = "wk_page", "wk_beacon"
SOURCES: dict[str, Any] = {
    "web": {"write_key": WRITE_KEY},
    "page": {"write_key": PAGE_KEY, "identity": "sightings"},
    "beacon": {"write_key": BEACON_KEY, "identity": "none"},
}


def post_from(appliance: Appliance, write_key: str, message_id: str, event: dict[str, Any]) -> None:
    body = {"type": "track", "event": "E", **event, "messageId": message_id}
    assert post(appliance.port, "/v1/batch", {"batch": [body]}, write_key=write_key).status == 200


def owners(sink: Sink, *message_ids: str) -> list[str]:
    """The person that each of these was delivered for."""
    sink.wait_accepted(set(message_ids))
    bodies = [json.loads(arrival.body) for arrival in sink.arrivals()]
    found = {body["messageId"]: body["context"]["sternpost"]["personId"] for body in bodies}
    return [found[message_id] for message_id in message_ids]


def test_a_page_joins_no_customers_and_a_beacon_teaches_nothing_until_a_re_load_lets_them(
    make_appliance: Callable[..., Appliance], make_sink: Callable[..., Sink]
) -> None:
    sink = make_sink(bodies=True)
    appliance = make_appliance({"sources": SOURCES, "destinations": {"crm": webhook(sink.url)}})
    appliance.start()
    send(appliance, {**ANN, "messageId": "ann"}, {**BOB, "messageId": "bob"})
    post_from(appliance, PAGE_KEY, "page alias", BAD_ALIAS)
    post_from(appliance, BEACON_KEY, "beacon alias", BAD_ALIAS)
    post_from(appliance, BEACON_KEY, "beacon log-in", {"userId": "ann", "anonymousId": "new"})
    post_from(appliance, PAGE_KEY, "stranger", {"anonymousId": "new"})
    post_from(appliance, PAGE_KEY, "bob again", {"userId": "bob"})
    ann, bob, beacon, stranger, again = owners(sink, "ann", "bob", "beacon log-in", "stranger", "bob again")
    assert beacon == ann != bob == again
    assert stranger not in (ann, bob)

    appliance.config["sources"]["beacon"] = {"write_key": BEACON_KEY}
    appliance.config["sources"]["page"] = {"write_key": PAGE_KEY, "identity": "none"}
    appliance.write_config()
    appliance.reload()
    until(lambda: "rules of identity changed" in appliance.tail(), "the re-load tells of it")
    post_from(appliance, PAGE_KEY, "silent", {"userId": "bob", "anonymousId": "new"})
    post_from(appliance, BEACON_KEY, "log-in", {"userId": "ann", "anonymousId": "new"})
    assert owners(sink, "silent", "log-in") == [bob, ann]
    appliance.kill()
    appliance.start()
    post_from(appliance, PAGE_KEY, "after", {"anonymousId": "new"})
    post_from(appliance, BEACON_KEY, "bad alias", BAD_ALIAS)
    assert owners(sink, "after") == [ann]
    until(lambda: person(appliance, "user_id:ann") == person(appliance, "bob"))


def test_another_word_is_refused_with_those_that_there_are(make_appliance: Callable[..., Appliance]) -> None:
    appliance = make_appliance({"sources": {"web": {"write_key": WRITE_KEY, "identity": "half"}}})
    appliance.write_config()
    checked = appliance.sternpost("check")
    assert checked.returncode == 2
    assert "sources.web.identity" in checked.stdout + checked.stderr
    for known in ("full", "sightings", "none"):
        assert known in checked.stdout + checked.stderr

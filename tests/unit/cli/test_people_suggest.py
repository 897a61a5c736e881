"""What a search has found goes out in pieces that the process takes, the likeliest first, as far as there is room."""

import argparse
import json
from typing import Any

import msgspec
import pytest

from appliance.cli.client import Client
from appliance.cli.people import add_arguments, suggest
from appliance.control.api import BODY_BYTES_MAX
from appliance.identity.matching.suggest import Suggestion
from appliance.identity.review import Suggesting


class Taking(Client):
    """A process that takes all pairs but those that were rejected; it reads them as the real one does."""

    def __init__(self, rejected: int = 0) -> None:
        super().__init__("http://127.0.0.1:1", "")
        self.rejected, self.bodies, self.got = rejected, list[Suggesting](), list[bytes]()

    def post(self, path: str, body: Any = None, *, timeout_s: float = 1.0) -> Any:
        self.got.append(body)
        self.bodies.append(found := msgspec.json.decode(body, type=Suggesting))
        out = min(self.rejected, len(found.pairs))
        self.rejected -= out
        return {"taken": len(found.pairs) - out, "done": f"left out: {out}"}


def found(count: int, words: str = "last name same: lee") -> list[Suggestion]:
    ids = [json.dumps(["user_id", f"u{number}"]) for number in range(count + 1)]
    return [Suggestion(ids[number], ids[-1], 0.95, 100.0 - number, [words] * 9) for number in range(count)]


def sent(process: Taking) -> list[str]:
    return [pair.a[1] for body in process.bodies for pair in body.pairs]


@pytest.mark.parametrize(
    ("count", "bodies"), [(0, [0]), (1, [1]), (200, [200]), (201, [200, 1]), (450, [200, 200, 50])]
)
def test_everything_goes_out_once_in_order_and_the_first_piece_begins_the_list(count: int, bodies: list[int]) -> None:
    process, steps = Taking(), list[int]()
    assert suggest._put(process, found(count), 1000, steps.append) == []
    assert [len(body.pairs) for body in process.bodies] == bodies
    assert [body.first for body in process.bodies] == [True, *[False] * (len(bodies) - 1)]
    assert sent(process) == [f"u{number}" for number in range(count)] and steps == sorted(steps)


def test_long_words_go_out_in_more_pieces() -> None:
    process = Taking()
    suggest._put(process, found(300, "\U0001f9d1\x00" * 2000), 1000, lambda _: None)
    assert sent(process) == [f"u{number}" for number in range(300)]
    assert max(map(len, process.got)) < BODY_BYTES_MAX and len(process.got) > 2


def test_who_was_rejected_takes_no_place_on_the_list() -> None:
    process = Taking(rejected=150)
    said = suggest._put(process, found(500), 220, lambda _: None)
    assert said == ["of 200 pairs left out: 150"]
    assert sent(process) == [f"u{number}" for number in range(370)], "until there are as many as were asked for"


@pytest.mark.parametrize(
    "wrong",
    [
        ("suggest", "--threshold", "1"), ("suggest", "--threshold", "0"), ("suggest", "--threshold", "nan"),
        ("suggest", "--limit", "0"), ("accept",), ("accept", "0"), ("accept", "-1"), ("reject", "x"),
        ("reject", str(1 << 63)), ("suggestions", "--state", "replaced"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(wrong: tuple[str, ...]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    with pytest.raises(SystemExit):
        parser.parse_args(wrong)

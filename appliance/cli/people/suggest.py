"""`sternpost people suggest`: fetch what people said of themselves, match it here, put what is found on the list."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import msgspec

from appliance.cli import output, progress, text
from appliance.cli.client import Client
from appliance.cli.people import review
from appliance.cli.people.arguments import LIMIT_MAX
from appliance.identity.matching.suggest import Candidate, Suggestion
from appliance.identity.matching.suggest import suggest as matched

AT_ONCE = 200
"""Suggestions that the process takes at once, and so many bytes or little more."""
BYTES_AT_ONCE = 500_000
WORDS_MAX, WORDS_CHARACTERS_MAX = 20, 500


class _Line(msgspec.Struct):
    """One candidate as the process sends it."""

    id: tuple[str, str]
    traits: dict[str, list[str]]


_LINE = msgspec.json.Decoder(_Line)


def suggest(process: Client, args: argparse.Namespace) -> int:
    # Who was rejected is found again, and must not take the place of somebody new.
    rejected = process.get("/v1/people/suggestions", state="rejected", limit=1)["total"]
    limit = min(args.limit, LIMIT_MAX)
    with _Steps(progress.wanted(args)) as steps:
        steps.begin("fetching people")
        candidates = _candidates(process, steps.count)
        found = matched(candidates, threshold=args.threshold, limit=limit + rejected, progress=steps.begin)
        steps.begin("putting them on the list", len(found))
        words = _put(process, found, limit, steps.count)
    open_ones = review.listed(process, "open", limit)
    if args.json:
        output.print_json({"suggestions": open_ones})
        return 0
    if not open_ones:
        print(f"nobody to decide about ({args.threshold:g} or more)")
    else:
        review.print_suggestions(open_ones)
        print(f"\n{_NEXT}", file=sys.stderr)
    for line in words:
        print(line, file=sys.stderr)
    return 0


_NEXT = "next: `sternpost people accept NUMBER` or `sternpost people reject NUMBER`; nobody is joined before that"


def _candidates(process: Client, count: Callable[[int], None]) -> Iterator[Candidate]:
    """Everybody, called by their id: what is found names the two by it."""
    for number, line in enumerate(process.stream("/v1/people/candidates"), 1):
        one = _LINE.decode(line)
        yield Candidate(json.dumps(one.id), one.traits)
        count(number)


def _put(process: Client, found: Sequence[Suggestion], limit: int, count: Callable[[int], None]) -> list[str]:
    """Put as many on the list as there is room for, the likeliest first; returns what was left out, in words."""
    said, taken, done = [], 0, 0
    while done == 0 or (done < len(found) and taken < limit):
        some = _some(found, done, limit - taken)
        body = b'{"first":%s,"pairs":[%s]}' % (b"true" if done == 0 else b"false", b",".join(some))
        answer = process.post("/v1/people/suggestions", body)
        taken += answer["taken"]
        if answer["taken"] < len(some):
            said.append(f"of {text.count(len(some), 'pair')} {answer['done']}")
        done += max(len(some), 1)
        count(done)
    return said


def _some(found: Sequence[Suggestion], start: int, room: int) -> list[bytes]:
    """The next pairs as JSON, as many as the process takes at once: what people say of themselves may be long."""
    some: list[bytes] = []
    size = 0
    for one in found[start : start + min(AT_ONCE, room)]:
        why = [words[:WORDS_CHARACTERS_MAX] for words in one.why[:WORDS_MAX]]
        pair = {"a": json.loads(one.a), "b": json.loads(one.b), "probability": one.probability, "weight": one.weight}
        some.append(msgspec.json.encode({**pair, "why": why}))
        size += len(some[-1])
        if size > BYTES_AT_ONCE:
            break
    return some


class _Steps:
    """A bar for each step, one after the other."""

    def __init__(self, shown: bool) -> None:
        self._shown, self._bar = shown, ExitStack()
        self._update: Callable[[int], None] = lambda _: None

    def __enter__(self) -> "_Steps":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def count(self, done: int) -> None:
        """So much of this step is done."""
        self._update(done)

    def begin(self, words: str, total: int = 0) -> None:
        """The next step; 0: nobody knows how long it is."""
        self._bar.close()
        self._update = self._bar.enter_context(progress.bar(words, total, self._shown))

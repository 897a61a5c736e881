"""How the console acts: what is at stake is counted, shown and sent as expected; a changed count asks again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tui import wire
from tui.client import ApiError, Unreachable, new_key
from tui.screens.confirm import Confirm
from tui.text import counted

if TYPE_CHECKING:
    from tui.app import Console

TRIES = 3
"""An action whose answer is lost is sent again under the same key, so it is done once."""


@dataclass(frozen=True)
class Stake:
    """What an action is about, as counted just now."""

    events: int
    people: int | None = None
    oldest_ms: int = 0
    one: str = "event"
    many: str = "events"
    """What is counted."""


@dataclass(frozen=True)
class Plan:
    """An action before it is done.

    `title` and `consequence` are our own words and names made inert by the dialogue. `count`: what is at stake now,
    None where nothing is. `typed`: a name that must be typed; `expecting`: whether the API takes a count.
    """

    title: str
    consequence: str
    path: str
    count: Callable[[], Awaitable[Stake | None]]
    verb: str
    body: dict[str, object] = field(default_factory=dict)
    typed: str = ""
    expecting: bool = True
    done: Callable[[wire.Done], str] = lambda done: "done"


async def ask_and_act(console: "Console", plan: Plan) -> bool:
    """Count, ask, act; returns whether it was done. Runs in a worker, since it waits for the dialogue."""
    notice = ""
    while True:
        try:
            stake = await plan.count()
        except (ApiError, Unreachable) as error:
            console.say_error(error)
            return False
        if stake is None:
            console.say("there is nothing to do")
            return False
        if not await console.push_screen_wait(Confirm(plan, stake, console.now_ms(), notice)):
            console.say("nothing was done")
            return False
        body = {**plan.body, "expect": stake.events} if plan.expecting else plan.body
        try:
            done = await act_once(console, plan.path, body)
        except ApiError as error:
            if error.status == 409 and error.refusal.code == "changed":
                notice = f"It has changed: {error.refusal.message}."
                continue
            console.say_error(error)
            return False
        except Unreachable as error:
            console.say_error(error)
            return False
        console.say(plan.done(done))
        return True


async def act_once(console: "Console", path: str, body: dict[str, object]) -> wire.Done:
    """Act; where the answer is lost, ask again under the same key.

    Raises:
        ApiError: the API says no.
        Unreachable: no try was answered; the words say that it may have been done.
    """
    key = new_key()
    for tries_left in reversed(range(TRIES)):
        try:
            return await console.client.act(path, wire.Done, body, key)
        except Unreachable as error:
            if not tries_left:
                words = f"{error}; it may have been done: look before you repeat it"
                raise Unreachable(words) from None
    raise AssertionError("the last try returns or raises")


def stake_words(stake: Stake) -> str:
    """`12 dead letters of 3 people`."""
    events = counted(stake.events, stake.one, stake.many)
    return events if stake.people is None else f"{events} of {counted(stake.people, 'person', 'people')}"

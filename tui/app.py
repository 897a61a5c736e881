"""The console: holds the connection, asks once a second while somebody looks, says what is wrong."""

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import App, ScreenStackError, SystemCommand
from textual.css.query import NoMatches
from textual.screen import Screen

from tui import keys, wire
from tui.client import ApiError, Client, Freshness, Unreachable
from tui.keys import Key
from tui.look import Palette, colour, look
from tui.screens.audit import AuditPage
from tui.screens.config import ConfigPage
from tui.screens.dead import DeadPage
from tui.screens.destinations import DestinationsPage
from tui.screens.help import Help
from tui.screens.log import LogPage
from tui.screens.overview import OverviewPage
from tui.screens.page import Page
from tui.screens.people import PeoplePage
from tui.screens.tail import TailPage
from tui.text import age, inert
from tui.themes import DARK, LIGHT, PLAIN, THEMES, palette_of
from tui.widgets import Line

REFRESH_S = 1.0
TOKEN_REFUSED = (
    "the token is refused: q leaves; start again with the one in admin.token of the data folder, or one of "
    "[control.tokens], in STERNPOST_TOKEN or --token-file"
)
HEADER_REFRESH_S = 10.0
"""Screens other than the overview ask for it this seldom, for the status line."""


class Console(App[None]):
    """The console of one appliance.

    Args:
        client: of its admin API.
        read_only: offer nothing that changes anything.
        keymap: the user's own keys by action name.
        wall_ms, monotonic_s: clocks, given by tests.
    """

    TITLE = "Sternpost"
    CSS_PATH = "console.tcss"
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-medium"), (140, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-short"), (30, "-tall")]
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "overview": OverviewPage,
        "tail": TailPage,
        "destinations": DestinationsPage,
        "people": PeoplePage,
        "dead": DeadPage,
        "log": LogPage,
        "config": ConfigPage,
        "audit": AuditPage,
    }

    def __init__(
        self,
        client: Client,
        *,
        read_only: bool = False,
        keymap: dict[str, str] | None = None,
        theme: str = "",
        refresh_s: float = REFRESH_S,
        wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        colourless = "NO_COLOR" in os.environ  # Textual greys what it is given, and only real colours have a grey.
        super().__init__()
        self.client, self._read_only, self._wall_ms, self._monotonic_s = client, read_only, wall_ms, monotonic_s
        self._chosen_keys = dict(keymap or {})
        self.whoami, self.overview = wire.Whoami(role=""), wire.Overview()
        self._known = False
        self._skew_ms = 0
        self._overview_due_s = 0.0
        self.freshness = Freshness()
        self._refresh_s = refresh_s
        self._asking, self._ask_again = asyncio.Lock(), False
        for one in THEMES:
            self.register_theme(one)
        sixteen = self.console.color_system in ("standard", None) and not colourless
        self.theme = theme or (PLAIN if sixteen else DARK)

    @property
    def palette(self) -> Palette:
        """The colours of states in the present theme."""
        return palette_of(self.theme, self.get_theme)

    def now_ms(self) -> int:
        """The appliance's wall time, as far as it is known."""
        return self._wall_ms() + self._skew_ms

    async def on_mount(self) -> None:
        self.set_keymap(self._chosen_keys)
        await self.switch_mode("overview")
        self.set_interval(self._refresh_s, self._tick)

    async def on_unmount(self) -> None:
        await self.client.close()

    # Asking ----------------------------------------------------------------------------------------------------

    def refresh_soon(self) -> None:
        """Ask now, without waiting for the next second."""
        self._tick()

    def overview_changed(self) -> None:
        """Something was done that the status line tells of; every screen asks for the overview anew."""
        self._overview_due_s = 0.0
        self.refresh_soon()

    def on_app_focus(self) -> None:
        self._tick()

    def on_app_blur(self) -> None:
        if (page := self._page()) is not None:
            page.unseen()

    def _tick(self) -> None:
        if not self.app_focus:
            return  # Nobody looks, so nothing is asked.
        self._show_status()
        if self.freshness.may_try(self._monotonic_s()) and self._page() is not None:
            self.run_worker(self._ask(), group="ask", exit_on_error=True)

    @property
    def asking(self) -> bool:
        """Whether an answer is awaited."""
        return self._asking.locked()

    async def _ask(self) -> None:
        """Ask for what the present screen shows; one question at a time, and once more where one came in between."""
        if self._asking.locked():
            self._ask_again = True
            return
        async with self._asking:
            self._ask_again = True
            while self._ask_again and self.freshness.may_try(self._monotonic_s()):
                self._ask_again, page = False, self._page()
                if page is None:
                    return
                await self._ask_for(page)

    async def _ask_for(self, page: Page) -> None:
        try:
            await self._ask_header(page)
            await page.fetch()
        except ApiError as error:
            if error.status == 401:
                self.freshness.failed(self._monotonic_s(), error.refusal.message, refused=True)
                page.trouble(TOKEN_REFUSED)
            else:
                self.freshness.answered(self._monotonic_s())
                page.trouble(" ".join(error.words().split("\n")))
        except NoMatches:
            return  # The screen is being taken down while an answer came; one that is whole has all that it paints.
        except Unreachable as error:
            self.freshness.failed(self._monotonic_s(), str(error))
            self._known = False  # Whoever answers next may be another version, with other rights.
        else:
            self.freshness.answered(self._monotonic_s())
            page.trouble("")
        self._show_status()

    async def _ask_header(self, page: Page) -> None:
        if not self._known:
            try:
                self.whoami = await self.client.get("/v1/whoami", wire.Whoami)
            except ApiError as error:
                if error.status != 404:
                    raise
                self.whoami = wire.Whoami(name="admin")  # An appliance that knows one token only.
            self._known = True
            self.refresh_bindings()
        if page.page == "overview" or self._monotonic_s() >= self._overview_due_s:
            self.overview = await self.client.get("/v1/overview", wire.Overview)
            self._overview_due_s = self._monotonic_s() + HEADER_REFRESH_S
            if self.overview.now_ms:
                self._skew_ms = self.overview.now_ms - self._wall_ms()

    def _page(self) -> Page | None:
        try:
            screen = self.screen
        except ScreenStackError:
            return None  # The console is ending.
        return screen if isinstance(screen, Page) and screen.composed else None

    # The status line -------------------------------------------------------------------------------------------

    def _show_status(self) -> None:
        page = self._page()
        if page is None:
            return
        now_s = self._monotonic_s()
        stale = self.freshness.stale(now_s)
        page.set_class(stale and self.overview.now_ms > 0, "-stale")
        for line in page.query("#status").results(Line):  # None where the screen is being taken down.
            line.put(self._status(now_s, stale))

    def _status(self, now_s: float, stale: bool) -> Text:
        palette, freshness = self.palette, self.freshness
        shown = Text(no_wrap=True, overflow="ellipsis")
        name = self.overview.appliance or self.whoami.appliance or self.client.url
        shown.append(f" {inert(name, 40)}", "bold")
        wait_s = max(0.0, freshness.next_try_s - now_s)
        if freshness.refused:
            shown.append("  ✗ token refused", palette.error)
            shown.append(f"  {inert(freshness.why, 120)}; next try in {wait_s:.0f} s", palette.muted)
            return shown
        if stale:
            known_s = freshness.age_s(now_s)
            words = "○ connecting" if known_s is None else f"○ stale, {age(known_s * 1000)} old"
            shown.append(f"  {words}", palette.error if freshness.failing else palette.warning)
            if freshness.failing:
                shown.append(f"  next try in {wait_s:.0f} s: {inert(freshness.why, 120)}", palette.muted)
            return shown
        shown.append("  ● live", palette.success)
        health = look(self.overview.health)
        if self.overview.health != "well":
            shown.append(f"  {health.glyph} {inert(self.overview.health, 20)}", colour(health, palette))
        up_ms = self.now_ms() - self.overview.started_ms if self.overview.started_ms else 0
        version = self.overview.version or self.whoami.version
        facts = [inert(version, 20), f"up {age(up_ms)}" if up_ms else "", inert(self.whoami.role, 20)]
        facts += ["read-only"] if self._read_only else []
        shown.append("  " + "  ".join(fact for fact in facts if fact), palette.muted)
        return shown

    # Acting ----------------------------------------------------------------------------------------------------

    def may(self, key: Key) -> bool:
        """Whether an action is open to this token and this console."""
        return not self._read_only and keys.may(self.whoami.role, key)

    def why_not(self, key: Key) -> str:
        """Why an action is not open."""
        if self._read_only:
            return f"{key.label}: this console was started with --read-only"
        who = self.whoami
        return f"{key.label} needs the role {key.role}; the token {who.name or 'in use'} has the role {who.role}"

    def pressed(self, key: Key, event: events.Key) -> bool:
        """Whether this is the key of an action, the user's own choice included."""
        chosen = self._chosen_keys.get(key.name, key.key)
        return bool({event.key, event.character} & {one.strip() for one in chosen.split(",")})

    def say(self, words: str, timeout_s: float = 4.0) -> None:
        """What happened."""
        self.notify(inert(words), markup=False, timeout=timeout_s)

    def say_error(self, error: Exception) -> None:
        """What went wrong, and what to do next."""
        words = error.words() if isinstance(error, ApiError) else str(error)
        self.notify("\n".join(inert(part) for part in words.split("\n")), severity="error", markup=False, timeout=8.0)

    async def action_go(self, page: str) -> None:
        """To a screen."""
        if self._page() is not None:
            await self.switch_mode(page)

    async def go_to_person(self, any_id: str) -> None:
        """To the screen of people, searching for an id."""
        await self.switch_mode("people")
        if isinstance(self.screen, PeoplePage):
            self.screen.set_filter(any_id)

    async def go_to_destination(self, name: str) -> None:
        """To the screen of destinations, at one of them."""
        await self.switch_mode("destinations")
        if isinstance(self.screen, DestinationsPage):
            self.screen.choose(name)

    def action_theme(self) -> None:
        """The next of our own themes; the palette has many more."""
        names = [DARK, LIGHT, PLAIN]
        self.theme = names[(names.index(self.theme) + 1) % len(names)] if self.theme in names else DARK
        self.refresh_soon()

    def action_palette(self) -> None:
        """Every command by name."""
        self.action_command_palette()

    def action_help(self) -> None:
        """The list of keys."""
        page = self._page()
        if page is not None:
            self.push_screen(Help(page.page, self._chosen_keys))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """The table of keys, so far as this screen and this token have it, and all themes."""
        if isinstance(screen, Page):
            for key in (*keys.of_page(screen.page), *keys.everywhere()):
                if key.name in ("palette", "back") or (key.role and not self.may(key)):
                    continue
                title = f"{key.label[0].upper()}{key.label[1:]}"
                yield SystemCommand(title, f"{key.words}  ({keys.shown_key(key.key)})", self._calls(screen, key))
        yield SystemCommand("All themes", "choose from every theme there is", self.action_change_theme)

    def _calls(self, screen: Page, key: Key) -> Callable[[], object]:
        async def call() -> None:
            await screen.run_action(key.action or key.name)

        return call

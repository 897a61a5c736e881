"""What all numbered screens share: the frame around their body, the filter line, asking once a second."""

from typing import TYPE_CHECKING, ClassVar, cast

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import Footer, Input

from tui import keys, wire
from tui.acting import Plan, act_once, ask_and_act
from tui.client import ApiError, Unreachable
from tui.look import Palette
from tui.text import ago, inert
from tui.widgets import Line, PageNames, Rows

if TYPE_CHECKING:
    from tui.app import Console


def bindings_of(page: str) -> list[BindingType]:
    """A screen's bindings, from the table of keys: its own first."""
    return [key.binding() for key in (*keys.of_page(page), *keys.everywhere())]


def refusal_words(refused: wire.RefusedReload, now_ms: int) -> str:
    """A re-load that was refused, in one harmless line: the first fault, how many more, that what runs stays."""
    more = len(refused.faults) - 1
    others = f" and {more} more (7, then d)" if more > 0 else ""
    first = inert(refused.faults[0]) if refused.faults else inert(refused.file)
    return f"re-load refused {ago(refused.when_ms, now_ms)}, the running configuration stays: {first}{others}"


class Page(Screen[None]):
    """A numbered screen. Say what is shown in `compose_body`, ask for it and paint it in `fetch`."""

    page: ClassVar[str] = ""
    filter_hint: ClassVar[str] = "filter"
    main: ClassVar[str] = ""
    """The id of the table that keys are about."""
    AUTO_FOCUS = None

    def __init__(self) -> None:
        super().__init__()
        self.filter_text = ""
        self.composed = False
        """Whether all of it is there to be painted on."""

    @property
    def desk(self) -> "Console":
        return cast("Console", self.app)

    @property
    def palette(self) -> Palette:
        return self.desk.palette

    def compose(self) -> ComposeResult:
        yield Line(id="status")
        yield PageNames(self.page)
        with Vertical(id="body"):
            yield from self.compose_body()
        yield Line(id="trouble")
        yield Input(placeholder=self.filter_hint, id="filter", compact=True)
        yield Footer(compact=True, show_command_palette=False)

    def compose_body(self) -> ComposeResult:
        """What is special about this screen."""
        yield from ()

    async def fetch(self) -> None:
        """Ask and paint. Errors of the client go through to the caller, which says that all is stale."""
        raise AssertionError(f"{type(self).__name__} asks for nothing")

    def on_mount(self) -> None:
        self.query_one("#filter", Input).display = False
        self.composed = True
        self.trouble("")
        if self.main:
            self.query_one(f"#{self.main}").focus()

    def trouble(self, words: str) -> None:
        """Say why this screen has nothing to show, until it has again."""
        for line in self.query("#trouble").results(Line):  # None where the screen is being taken down.
            line.display = bool(words)
            line.put(Text(f" {inert(words)}", self.palette.warning, no_wrap=True, overflow="ellipsis"))

    def on_screen_resume(self) -> None:
        self.desk.refresh_soon()

    def unseen(self) -> None:
        """Nobody looks any more, until the next `fetch`."""

    def table(self, name: str = "") -> Rows:
        """One of this screen's tables."""
        return self.query_one(f"#{name or self.main}", Rows)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What the token or `--read-only` does not allow is neither shown nor done."""
        key = keys.KEYS.get(action)
        return key is None or not key.role or self.desk.may(key)

    async def on_key(self, event: events.Key) -> None:
        """A key of this screen that the token or `--read-only` does not allow says why it does nothing."""
        for key in keys.of_page(self.page):
            if self.desk.pressed(key, event) and not self.desk.may(key):
                self.desk.say(self.desk.why_not(key))
                event.stop()
                return

    # The filter line -------------------------------------------------------------------------------------------

    def action_filter(self) -> None:
        """Open the filter line."""
        line = self.query_one("#filter", Input)
        line.display = True
        line.value = self.filter_text
        self.set_focus(line)

    def action_back(self) -> None:
        """Leave the filter line; a second time clears the filter."""
        line = self.query_one("#filter", Input)
        if line.has_focus:
            line.display = bool(self.filter_text)
            line.value = self.filter_text
            self._leave_filter()
        elif self.filter_text:
            line.value = ""
            line.display = False
            self.set_filter("")

    @on(Input.Submitted, "#filter")
    def _filter_given(self, event: Input.Submitted) -> None:
        event.stop()
        event.input.display = bool(event.value.strip())
        self._leave_filter()
        self.set_filter(event.value.strip())

    def _leave_filter(self) -> None:
        if self.main:
            self.query_one(f"#{self.main}").focus()
        else:
            self.set_focus(None)

    def set_filter(self, text: str) -> None:
        """A filter was given, or taken away."""
        self.filter_text = text
        self.filtered()
        self.desk.refresh_soon()

    def filtered(self) -> None:
        """The filter has changed; what pages there are begin anew."""

    # Pages -----------------------------------------------------------------------------------------------------

    def action_next_page(self) -> None:
        """Screens whose list has pages do more."""
        self.desk.say("all that there is stands here")

    def action_first_page(self) -> None:
        """As `action_next_page`."""
        self.desk.say("all that there is stands here")

    # Doing -----------------------------------------------------------------------------------------------------

    def ask(self, plan: Plan) -> None:
        """Ask, then act, in a worker; look again afterwards."""
        self.run_worker(self._ask(plan), group="act", exclusive=True)

    async def _ask(self, plan: Plan) -> None:
        if await ask_and_act(self.desk, plan):
            self.acted()
            self.desk.refresh_soon()

    def act(self, path: str, words: str) -> None:
        """Do what can be undone, without a question."""
        self.run_worker(self._act(path, words), group="act")

    async def _act(self, path: str, words: str) -> None:
        try:
            await act_once(self.desk, path, {})
        except (ApiError, Unreachable) as error:
            self.desk.say_error(error)
        else:
            self.desk.say(words)
            self.desk.refresh_soon()

    def acted(self) -> None:
        """Something was done; marks and the like are over."""

    # Copying ---------------------------------------------------------------------------------------------------

    def action_copy(self) -> None:
        """Copy what the screen is about right now."""
        text = self.copied()
        if text:
            self.desk.copy_to_clipboard(text)
            self.desk.say(f"copied: {inert(text, 60)}")

    def copied(self) -> str:
        """What `y` copies; the row under the cursor where a screen says nothing else."""
        table = self.focused if isinstance(self.focused, Rows) else self.table() if self.main else None
        return table.plain_row(table.current) if table is not None and table.current else ""

    def dim(self, text: object) -> Text:
        """Words beside figures."""
        return Text(str(text), style=self.palette.muted)

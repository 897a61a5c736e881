"""The dialogue before what cannot be undone: how many events and people, the oldest, at the worst a name to type."""

from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from tui.text import age, inert, moment

if TYPE_CHECKING:
    from tui.acting import Plan, Stake


class Confirm(ModalScreen[bool]):
    """Asks; True for yes. Focus stands on Cancel, so that a hasty Enter does nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "cancel"),
        Binding("Y", "confirm", "do it"),
        Binding("left,right", "app.focus_next", show=False),
    ]

    def __init__(self, plan: "Plan", stake: "Stake", now_ms: int, notice: str = "") -> None:
        super().__init__()
        self._plan, self._stake, self._now_ms, self._notice = plan, stake, now_ms, notice

    def compose(self) -> ComposeResult:
        plan = self._plan
        with Vertical(id="dialogue", classes="-danger"):
            yield Static(Text(inert(plan.title), style="bold"), id="dialogue-title")
            if self._notice:
                yield Static(Text(inert(self._notice)), id="dialogue-notice")
            yield Static(self._at_stake(), id="dialogue-stake")
            yield Static(Text(inert(plan.consequence)), id="dialogue-consequence")
            if plan.typed:
                yield Static(Text.assemble("Type ", (inert(plan.typed), "bold"), " to go on:"), id="dialogue-ask")
                yield Input(id="typed", placeholder=inert(plan.typed), compact=True)
            with Horizontal(id="dialogue-buttons"):
                yield Button("Cancel  esc", id="cancel", compact=True)
                hint = "enter" if plan.typed else "Y"
                yield Button(Text(f"{plan.verb}  {hint}"), id="confirm", compact=True, disabled=bool(plan.typed))

    def on_mount(self) -> None:
        self.query_one("#typed" if self._plan.typed else "#cancel").focus()

    def _at_stake(self) -> Text:
        stake = self._stake
        shown = Text()
        rows = [(stake.many.capitalize(), f"{stake.events:,}")]
        if stake.people is not None:
            rows.append(("People", f"{stake.people:,}"))
        if stake.oldest_ms:
            rows.append(("Oldest", f"{moment(stake.oldest_ms)}, {age(self._now_ms - stake.oldest_ms)} ago"))
        width = max(14, *(len(label) + 2 for label, _ in rows))
        for label, value in rows:
            shown.append(label.ljust(width), "dim")
            shown.append(f"{value}\n", "bold")
        shown.rstrip()
        return shown

    @on(Input.Changed, "#typed")
    def _compare(self, event: Input.Changed) -> None:
        self.query_one("#confirm", Button).disabled = event.value.strip() != self._plan.typed

    @on(Input.Submitted, "#typed")
    def action_confirm(self) -> None:
        """Yes; where a name is asked for, only with the name."""
        if self._plan.typed and self.query_one("#typed", Input).value.strip() != self._plan.typed:
            self.app.bell()
            return
        self.dismiss(True)

    def action_cancel(self) -> None:
        """No."""
        self.dismiss(False)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if event.button.id == "confirm":
            self.action_confirm()
        else:
            self.action_cancel()

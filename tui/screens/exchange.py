"""Payload, sent request and raw response side by side, as tail and dead letters show them."""

from rich.text import Text
from textual.containers import Horizontal

from tui.text import block, pretty, request_and_answer
from tui.widgets import Pane

NO_RIGHT = "(this token has no right to see payloads)"


class Exchange(Horizontal):
    """Three panes of one event."""

    def __init__(self, *, id: str) -> None:
        self._panes = (
            Pane("payload", id=f"{id}-payload"),
            Pane("sent request", id=f"{id}-request"),
            Pane("raw response", id=f"{id}-response"),
        )
        super().__init__(*self._panes, id=id)

    def put(self, payload: bytes, sample: str, *, payloads: bool, hint: str, muted: str) -> None:
        """Show an event.

        Args:
            payloads: whether the token may see them.
            hint: what to say where there is no request.
        """
        request, answer = request_and_answer(sample)
        nothing = Text(hint if payloads else NO_RIGHT, style=muted)
        shown = pretty(payload)
        self._panes[0].put(block(shown) if shown else nothing)
        self._panes[1].put(block(request) if request else nothing)
        self._panes[2].put(block(answer) if answer else nothing)

    @property
    def plain(self) -> str:
        """The payload, for the clipboard."""
        return self._panes[0].plain

"""The few pages around the console's terminal: the form that asks for the token, the terminal's own, words; no scripts
but the terminal's and a few lines for its keys and files, nothing from other hosts."""

from html import escape
from typing import Any

from aiohttp import web

PATH = "/console"
_BASE = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'; "
POLICY = _BASE + "style-src 'self'; font-src 'self'"
TERMINAL_POLICY = (
    # The terminal writes its own style elements, and draws into a canvas.
    _BASE + "style-src 'self' 'unsafe-inline'; script-src 'self'; font-src 'self'; img-src 'self' data:; "
    "connect-src 'self'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with none at all, browsers send `Origin: null` with a form
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

STYLE = """
@font-face { font-family: "Roboto Mono"; src: url("RobotoMono-VariableFont_wght.ttf"); font-weight: 100 700; }
@font-face { font-family: "Roboto Mono"; src: url("RobotoMono-Italic-VariableFont_wght.ttf"); font-weight: 100 700;
  font-style: italic; }
* { box-sizing: border-box; }
html, body { margin: 0; height: 100%; background: #0c1216; color: #d7dee3; font: 16px/1.5 "Roboto Mono", monospace; }
main { max-width: 36rem; margin: 0 auto; padding: 18vh 1.5rem 0; }
h1 { font-size: 1.25rem; margin: 0 0 1rem; }
p { margin: 0 0 1rem; }
.wrong { color: #ff9b8e; }
label { display: block; margin-bottom: .4rem; }
input, button, .button { font: inherit; padding: .55rem .8rem; border-radius: 4px; border: 1px solid #3a4a55; }
input { width: 100%; background: #141d23; color: inherit; margin-bottom: 1rem; }
button, .button { display: inline-block; background: #1f6feb; border-color: #1f6feb; color: #fff; cursor: pointer;
  text-decoration: none; }
button.quiet { background: none; border-color: #3a4a55; color: inherit; }
:focus-visible { outline: 2px solid #8ab8ff; outline-offset: 2px; }
code { color: #9fd0ff; }
.terminal { overflow: hidden; }
.textual-terminal { position: absolute; inset: 0; opacity: 0; }
.-first-byte .textual-terminal { opacity: 1; }
.-first-byte .starting { display: none; }
.closed { display: none; }
.-closed .closed { display: block; position: absolute; inset: 0; max-width: none; z-index: 20; text-align: center;
  background: rgba(12, 18, 22, .92); }
.-closed .starting, .-first-byte .early, body:not(.-first-byte) .late { display: none; }
"""

FOCUS = """
"use strict";
// Keys go to the terminal from the start, and again when the window comes back; nobody has to click first.
const keys = () => document.querySelector(".xterm-helper-textarea")?.focus();
new MutationObserver((_, observer) => {
  if (document.querySelector(".xterm-helper-textarea")) { observer.disconnect(); keys(); }
}).observe(document, { childList: true, subtree: true });
window.addEventListener("focus", keys);
// A file that took long to gather comes seconds after the key; browsers block a new window then, but no download.
const open = window.open.bind(window);
window.open = (url, target) => {
  if (!String(url).startsWith("/console/download/")) return open(url, target);
  Object.assign(document.createElement("a"), { href: url, download: "" }).click();
  return null;
};
"""

_LEAD_ON = f'<a class="button" href="{PATH}">Open the console</a>'
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
{head}<title>Sternpost</title>
<link rel="stylesheet" href="/console/static/console.css">
</head>
<body{attributes}>
{body}
</body>
</html>
"""


def form(words: str = "", status: int = 401, retry_after_s: int = 0) -> web.Response:
    """The page that asks for the token.

    Args:
        words: why it asks again.
        retry_after_s: said to the browser where it must wait.
    """
    wrong = f'<p class="wrong" role="alert">{escape(words)}</p>\n' if words else ""
    body = (
        f'<main>\n<h1>Sternpost console</h1>\n{wrong}<form method="post" action="{PATH}/login">\n'
        '<label for="token">Token</label>\n'
        '<input id="token" name="token" type="password" autocomplete="current-password" required autofocus>\n'
        '<button type="submit">Open the console</button>\n</form>\n'
        "<p><br>The admin's lies in <code>admin.token</code> in the data folder. "
        "<code>sternpost console</code> prints a link that needs none.</p>\n</main>"
    )
    headers = {"Retry-After": str(retry_after_s)} if retry_after_s else {}
    return _reply(_PAGE.format(head="", attributes="", body=body), status, headers)


def words(title: str, text: str, status: int, *, again_s: int = 0) -> web.Response:
    """A page that says something, and looks again after `again_s` seconds."""
    head = f'<meta http-equiv="refresh" content="{again_s};url={PATH}">\n' if again_s else ""
    body = f"<main>\n<h1>{escape(title)}</h1>\n<p>{escape(text)}</p>\n{_LEAD_ON}\n</main>"
    headers = {"Retry-After": str(again_s)} if again_s else {}
    return _reply(_PAGE.format(head=head, attributes="", body=body), status, headers)


def entered() -> web.Response:
    """The page after a ticket: it leads on by itself.

    Not a redirect: where the link was clicked in another site's page (a terminal in the browser, a chat), a browser
    would follow it without the cookie, which is SameSite=Strict. From this page of ours it goes with it.
    """
    head = f'<meta http-equiv="refresh" content="0;url={PATH}">\n'
    body = f"<main>\n{_LEAD_ON}\n</main>"
    return _reply(_PAGE.format(head=head, attributes="", body=body), 200, {})


def terminal(websocket_url: str) -> web.Response:
    """The page with the terminal in it."""
    head = (
        '<link rel="stylesheet" href="/console/static/xterm.css">\n<script src="/console/static/textual.js"></script>\n'
        '<script src="/console/static/focus.js"></script>\n'
    )
    body = (
        '<main class="starting"><p>Opening the console …</p><noscript>It needs JavaScript.</noscript></main>\n'
        '<main class="closed"><h1>This console has ended.</h1>\n'
        '<p class="late">The appliance goes on; what you did in here stays done.</p>\n'
        '<p class="early">It did not start; the log of the appliance says why.</p>\n'
        f'<form method="post" action="{PATH}/logout"><a class="button" href="{PATH}">Open it again</a>\n'
        '<button class="quiet" type="submit">Sign out</button></form></main>\n'
        f'<div id="terminal" class="textual-terminal" data-session-websocket-url="{escape(websocket_url)}" '
        'data-font-size="16"></div>'
    )
    page = _PAGE.format(head=head, attributes=' class="terminal"', body=body)
    return _reply(page, 200, {"Content-Security-Policy": TERMINAL_POLICY})


def _reply(page: str, status: int, headers: dict[str, Any]) -> web.Response:
    sent = {**HEADERS, "Content-Security-Policy": POLICY, **headers}
    return web.Response(text=page, status=status, content_type="text/html", headers=sent)

"""The shop's own web server: the page, the SDK as published, and a place where the page tells what went wrong."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
CLIENTS = HERE.parent / "integration" / "clients"
SDK = (
    CLIENTS
    / "node_modules"
    / "@rudderstack"
    / "analytics-js"
    / "dist"
    / "npm"
    / "modern"
    / "bundled"
    / "umd"
    / "index.js"
)
FILES = {
    "/": (HERE / "page.html", "text/html; charset=utf-8"),
    "/page.js": (HERE / "page.js", "text/javascript; charset=utf-8"),
    "/sdk.js": (SDK, "text/javascript; charset=utf-8"),
    "/scenario.json": (CLIENTS / "scenario.json", "application/json"),
}


class PageServer:
    """Serves on loopback inside the `with` block; `reports` is what the page said."""

    def __init__(self) -> None:
        self.reports: list[str] = []
        reports = self.reports

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path, kind = FILES.get(self.path.partition("?")[0], (None, ""))
                body = path.read_bytes() if path else b""
                self.send_response(200 if path else 404)
                self.send_header("Content-Type", kind or "text/plain")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                size = int(self.headers["Content-Length"])
                reports.append(self.rfile.read(size).decode())
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        """By name, so that the page's site differs from the collector's address as well."""
        return f"http://localhost:{self._server.server_address[1]}"

    def __enter__(self) -> "PageServer":
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

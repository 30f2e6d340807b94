"""A real HTTP server on this machine that keeps what it gets."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Listener:
    """What was asked of the server so far.

    A path with a three-digit number in it is answered with that status, `/slow` never to its end.
    """

    port: int
    gets: list[str] = field(default_factory=list)
    posts: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/", scheme: str = "json") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    def titles(self) -> list[str]:
        return [post["title"] for post in self.posts]


@contextmanager
def listening() -> Iterator[Listener]:
    """The server, as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            listener.gets.append(self.path)
            self._reply()

        def do_POST(self) -> None:
            listener.posts.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            listener.paths.append(self.path)
            self._reply()

        def _reply(self) -> None:
            status = next((int(part) for part in self.path.split("/") if part.isdigit()), 200)
            self.send_response(status)
            if "slow" in self.path:
                self._drip()
            self.end_headers()

        def _drip(self) -> None:
            """A byte now and then: no timeout of a single read ever strikes."""
            try:
                self.flush_headers()
                while not listener.stop.wait(0.2):
                    self.wfile.write(b"X-More: to come\r\n")
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Keeps quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener = Listener(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield listener
    finally:
        listener.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()


def dead_port() -> int:
    """A port that nobody listens on."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.server_close()
    return int(server.server_port)

"""Takes the alerts that the deployed sensor sends, and keeps every byte of them for the search."""

import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from chaos.place import HOST


class Webhook:
    """A server on loopback.

    Attributes:
        codes: How many alerts it has taken, by code.

    Args:
        said: The file that takes what is posted.
    """

    def __init__(self, said: Path) -> None:
        self.codes: Counter[str] = Counter()
        self._said = said
        self._lock = threading.Lock()
        taker = type("_Taker", (_Taker,), {"webhook": self})
        self._server = ThreadingHTTPServer((HOST, 0), taker)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def url(self) -> str:
        """Where it takes alerts."""
        return f"http://{HOST}:{self._server.server_port}/alerts"

    def start(self) -> None:
        """Takes alerts from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Takes no more."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def take(self, headers: str, body: bytes) -> None:
        """Keeps an alert, and counts it if it is one."""
        with self._lock, self._said.open("ab") as said:
            said.write(headers.encode() + body + b"\n")
            self.codes[str(json.loads(body)["code"])] += 1


class _Taker(BaseHTTPRequestHandler):
    webhook: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            self.webhook.take(str(self.headers), body)
        except (ValueError, KeyError):
            self.send_error(400)
            return
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: it is kept."""

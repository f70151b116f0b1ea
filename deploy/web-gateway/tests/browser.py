"""A real Chromium without a window, driven over its own protocol (Chrome DevTools)."""

import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
from websockets.sync.client import ClientConnection, connect

PATIENCE: Final = 90.0
"""Seconds: two busy cores load the UI slowly."""

_PROGRAMS: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_ARGUMENTS: Final = (
    "--headless=new",
    "--no-sandbox",  # root has none, and the pages are ours
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--ignore-certificate-errors",
    "--remote-debugging-port=0",
    "--window-size=1400,900",
)


class Page:
    """One tab.

    Args:
        socket: Where it is driven from.
        credentials: Name and password, given to whoever asks for them; None to give none.
    """

    def __init__(
        self, socket: ClientConnection, credentials: tuple[str, str] | None = None
    ) -> None:
        self._socket = socket
        self._credentials = credentials
        self._serial = itertools.count(1)
        self.events: list[dict[str, Any]] = []
        for each in ("Page", "Runtime", "Network"):
            self.call(f"{each}.enable")
        if credentials is not None:
            self.call("Fetch.enable", handleAuthRequests=True)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """What a command answers; events that come before are kept."""
        number = self._say(method, **parameters)
        while True:
            heard = self._hear(PATIENCE)
            if heard.get("id") == number:
                assert "error" not in heard, heard
                result: dict[str, Any] = heard["result"]
                return result

    def open(self, url: str) -> None:
        """Go somewhere, as somebody does who types the address."""
        self.call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page says
        """What an expression comes to in the page, once its promise is kept."""
        said = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        return said["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        deadline = time.monotonic() + PATIENCE
        while not self.value(f"Boolean({expression})"):
            assert time.monotonic() < deadline, (expression, self.value("document.body.innerText"))
            with contextlib.suppress(TimeoutError):
                self._hear(0.3)

    def until_event(self, method: str) -> dict[str, Any]:
        """The first event of a name, waited for if it has not come yet."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            for each in self.events:
                if each["method"] == method:
                    parameters: dict[str, Any] = each["params"]
                    return parameters
            with contextlib.suppress(TimeoutError):
                self._hear(0.3)
        raise AssertionError(method)

    def take_picture(self, file: Path) -> None:
        """What one would see."""
        picture = self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(picture["data"]))

    def _say(self, method: str, **parameters: object) -> int:
        number = next(self._serial)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        return number

    def _hear(self, seconds: float) -> dict[str, Any]:
        heard: dict[str, Any] = json.loads(self._socket.recv(timeout=seconds))
        match heard.get("method"):
            case "Fetch.requestPaused":
                self._say("Fetch.continueRequest", requestId=heard["params"]["requestId"])
            case "Fetch.authRequired" if self._credentials is not None:
                name, password = self._credentials
                answer = {
                    "response": "ProvideCredentials",
                    "username": name,
                    "password": password,
                }
                self._say(
                    "Fetch.continueWithAuth",
                    requestId=heard["params"]["requestId"],
                    authChallengeResponse=answer,
                )
            case None:
                pass
            case _:
                self.events.append(heard)
        return heard


@contextlib.contextmanager
def browser(credentials: tuple[str, str] | None = None) -> Iterator[Page]:
    """A fresh browser with one empty tab."""
    found = next(filter(None, map(shutil.which, _PROGRAMS)), None)
    assert found, "no Chromium is installed: apt install chromium"
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as name:
        process = subprocess.Popen(
            [found, *_ARGUMENTS, f"--user-data-dir={name}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            port = _port(Path(name) / "DevToolsActivePort", process)
            tabs = httpx.get(f"http://127.0.0.1:{port}/json/list", timeout=30).json()
            (tab,) = (each for each in tabs if each["type"] == "page")
            with connect(tab["webSocketDebuggerUrl"], max_size=None, proxy=None) as socket:
                yield Page(socket, credentials)
        finally:
            process.terminate()
            process.wait(timeout=20)


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + PATIENCE
    while not (file.exists() and file.read_text().strip()):
        assert time.monotonic() < deadline
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.2)
            raise AssertionError(process.returncode)
    return int(file.read_text().split()[0])

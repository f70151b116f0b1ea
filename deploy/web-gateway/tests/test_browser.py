"""The UI in a real browser, through the gateway; and a page elsewhere that means ill."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from tests.browser import browser
from tests.dagster_servers import LAUNCH, Dagster
from tests.front import PASSWORDS, Front


def test_the_ui_works(dagster: Dagster, front: Front, tmp_path: Path) -> None:
    """Its page, its scripts, its queries, its live socket."""
    before = dagster.count_runs()
    with browser(("bob", PASSWORDS["bob"])) as page:
        page.open(f"https://localhost:{front.operators.port}/assets")
        page.until("document.body && document.body.innerText.includes('user_logins')")
        socket = page.until_event("Network.webSocketHandshakeResponseReceived")
        assert socket["response"]["status"] == 101
        frame = page.until_event("Network.webSocketFrameReceived")
        assert "connection_ack" in frame["response"]["payloadData"]
        page.take_picture(tmp_path / "assets.png")
        failed = [
            each["params"]["response"]["url"]
            for each in page.events
            if each["method"] == "Network.responseReceived"
            and each["params"]["response"]["status"] >= 400
        ]
        assert failed == []
        launched = page.value(
            "fetch('/graphql?op=Launch', {method: 'POST', "
            "headers: {'content-type': 'application/json'}, "
            f"body: JSON.stringify({{query: `{LAUNCH}`}})}}).then(answer => answer.text())"
        )
        assert "LaunchRunSuccess" in launched
        page.open(f"https://localhost:{front.operators.port}/runs")
        page.until("document.body && document.body.innerText.includes('check_start_up')")
        page.take_picture(tmp_path / "runs.png")
    assert dagster.count_runs() == before + 1


def test_a_page_elsewhere_that_means_ill(dagster: Dagster, front: Front) -> None:
    """Somebody who is signed in opens it: its requests carry the password, and do nothing."""
    ours = f"localhost:{front.operators.port}"
    before = dagster.count_runs()
    with _site() as elsewhere, browser(("bob", PASSWORDS["bob"])) as page:
        page.open(f"https://{ours}/favicon.svg")
        page.until("location.pathname == '/favicon.svg'")
        page.open(elsewhere)
        page.until("document.title == 'elsewhere'")
        direct = f"http://{dagster.web}/graphql"
        assert page.value(_forge(direct))
        assert page.value(_opens_a_socket(f"ws://{dagster.web}/graphql"))
        forged = dagster.count_runs()
        assert forged == before + 2  # what is to be kept out works where nothing keeps it out

        page.value(_forge(f"https://{ours}/graphql"))
        assert not page.value(_opens_a_socket(f"wss://{ours}/graphql"))
    assert dagster.count_runs() == forged


def _forge(url: str) -> str:
    """A GET and a POST for which a browser asks nobody before, with whatever it has to show."""
    forged = f"{url}?query={quote(LAUNCH)}"
    how = "mode: 'no-cors', credentials: 'include'"
    return (
        f"fetch('{forged}', {{{how}}})"
        f".then(() => fetch('{forged}', {{method: 'POST', body: 'x', {how}}}))"
        ".then(() => true, () => false)"
    )


def _opens_a_socket(url: str) -> str:
    return (
        f"new Promise(done => {{const it = new WebSocket('{url}', 'graphql-ws');"
        "it.onopen = () => done(true); it.onerror = () => done(false)})"
    )


@contextmanager
def _site() -> Iterator[str]:
    """A site of somebody else's."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<title>elsewhere</title>")

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()

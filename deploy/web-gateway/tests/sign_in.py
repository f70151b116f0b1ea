"""A stand-in for oauth2-proxy, and for the identity provider behind it.

It keeps what the gateway builds on: `/oauth2/auth` answers 202 with the person's e-mail in
`X-Auth-Request-Email`, or 401; `/oauth2/start` redirects to the provider, with a cookie against
forgery and the page that was asked for; `/oauth2/callback` wants that cookie back, sets the
session's, and redirects. Nothing of it is encrypted or signed.
"""

import contextlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs, quote

import uvicorn

from pipeline_tests.queue_fixtures import serving

SESSION: Final = "__Host-dagster"
FORGERY: Final = f"{SESSION}_csrf"


@dataclass
class SignIn:
    """Both of them, as one ASGI application.

    Attributes:
        person: Who sits before the browser, as the provider finds out.
        provider: Host and port under which a browser finds the provider: another site's.
        sessions: Whose each session is.
        asked: Paths that were asked for, with what came along as a password.
    """

    person: str = "alice"
    provider: str = ""
    sessions: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    _pages: dict[str, str] = field(default_factory=dict)

    async def __call__(self, scope: dict[str, Any], _receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        query = {name: each[0] for name, each in parse_qs(scope["query_string"].decode()).items()}
        self.asked.append((scope["path"], headers.get("authorization")))
        cookies = SimpleCookie(headers.get("cookie", ""))
        status, more, body = 404, list[tuple[str, str]](), ""
        match scope["path"]:
            case "/oauth2/auth":
                person = self.sessions.get(_value(cookies, SESSION))
                status = 202 if person else 401
                more = [("X-Auth-Request-Email", person)] if person else []
            case "/oauth2/start":
                state = secrets.token_hex(8)
                self._pages[state] = headers.get("x-auth-request-redirect") or query.get("rd", "/")
                back = f"https://{headers['x-forwarded-host']}/oauth2/callback?state={state}"
                where = f"http://{self.provider}/authorize?back={quote(back, safe='')}"
                status = 302
                more = [("Location", where), ("Set-Cookie", _cookie(FORGERY, state))]
            case "/authorize":
                status, body = 200, _page(query["back"])
                more = [("Content-Type", "text/html")]
            case "/oauth2/callback":
                state = query.get("state", "")
                status = 403
                if state and state == _value(cookies, FORGERY) and state in self._pages:
                    session = secrets.token_hex(16)
                    self.sessions[session] = self.person
                    status = 302
                    more = [
                        ("Location", self._pages.pop(state)),
                        ("Set-Cookie", _cookie(SESSION, session)),
                        ("Set-Cookie", _cookie(FORGERY, "")),
                    ]
        raw = [(name.lower().encode(), value.encode()) for name, value in more]
        await send({"type": "http.response.start", "status": status, "headers": raw})
        await send({"type": "http.response.body", "body": body.encode()})


def _value(cookies: SimpleCookie, name: str) -> str:
    return cookies[name].value if name in cookies else ""


def _cookie(name: str, value: str) -> str:
    """As oauth2-proxy.cfg asks for it; the gateway makes the session's strict."""
    return f"{name}={value}; Path=/; HttpOnly; Secure; SameSite=Lax"


def _page(back: str) -> str:
    """Somebody gives a password to the provider, whose page then leads back."""
    return f'<title>provider</title><a id="back" href="{back}">sign in</a>'


@contextlib.contextmanager
def sign_in() -> Iterator[tuple[SignIn, str]]:
    """A running one, and its host and port."""
    standing_in = SignIn()
    config = uvicorn.Config(
        standing_in, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    with serving(uvicorn.Server(config)) as url:
        standing_in.provider = url.removeprefix("http://")
        yield standing_in, standing_in.provider

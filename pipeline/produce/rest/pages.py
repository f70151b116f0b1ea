"""The pages for people: the API and its problems; without scripts, and nothing from elsewhere."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from pipeline.contract import Feed
from pipeline.produce.rest.catalog import allowed, examples
from pipeline.produce.rest.problems import KINDS, NOT_FOUND, Kind, Problem
from pipeline.produce.rest.schema import describe, sent_fields
from pipeline.produce.rest.service import Service

_STYLE: Final = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 20%, transparent); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: 1rem; }
pre { overflow-x: auto; padding: .8rem; border: 1px solid var(--line); border-radius: 6px; }
code, pre { font: 14px/1.45 ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; display: block; overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; }
th, td { border-bottom: 1px solid var(--line); }
"""
_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
_SAID_OTHERWISE: Final = {
    *("type", "anyOf", "items", "description", "propertyNames", "additionalProperties"),
}
_HOST: Final = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")


class Pages:
    """The routes of the pages.

    Args:
        service: What they tell about.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def docs(self, request: Request) -> Response:
        """The API, with each feed that the key is bound to."""
        host = request.headers.get("host", "")
        # The gateway says so; a caller who says it without one misleads nobody but himself.
        secure = request.headers.get("x-forwarded-proto") == "https"
        scheme = "https" if secure else request.url.scheme
        base = f"{scheme}://{host if _HOST.fullmatch(host) else 'localhost:8080'}"
        key = "" if self._service.senders is None else " \\\n  -H 'Authorization: Bearer KEY'"
        feeds = allowed(request, self._service)
        return _page(
            "Events", _intro(feeds), *(_feed(feed, base, key) for feed in feeds), _problems()
        )

    async def problems(self, _request: Request) -> Response:
        """Every kind of problem."""
        return _page("Problems", _problems())

    async def problem(self, request: Request) -> Response:
        """One kind of problem; its type leads here."""
        name = request.path_params["name"]
        for kind in KINDS:
            if kind.name == name:
                return _page(kind.title, f"<h1>{_e(kind.title)}</h1>", _advice(kind))
        raise Problem(NOT_FOUND, "There is no problem of that name")


def _intro(feeds: Sequence[Feed]) -> str:
    links = "".join(
        f'<li><a href="#{_e(feed.name)}">{_e(feed.name)}</a>: {_e(feed.description)}</li>'
        for feed in feeds
    )
    return f"""<h1>Events</h1>
<p>Send one record, or an array of up to 1,000, as JSON. The answer is <code>202</code> once every
record is on the queue, and then only. A batch is answered record by record: <code>207</code> says
that some are not on the queue, and which.</p>
<p>To be safe against a lost answer, send an <code>Idempotency-Key</code> (16 characters or more, a
new one for each new request), and send the same request again until it is answered: it counts
once. <a href="/openapi.json">OpenAPI</a> · <a href="/v1/feeds">feeds as JSON</a></p>
<ul>{links}</ul>"""


def _feed(feed: Feed, base: str, key: str) -> str:
    rows = "".join(
        f"<tr><td><code>{_e(each.path)}</code></td><td>{_e(_rules(each.type.json_schema()))}</td>"
        f"<td>{'may be null or absent' if each.nullable else 'required'}</td>"
        f"<td>{_e(describe(each))}</td></tr>"
        for each in sent_fields(feed)
    )
    found = examples(feed, 1)
    record = json.dumps(found[0], ensure_ascii=False) if found else "{…}"
    quoted = record.replace("'", "'\\''")
    command = (
        f"curl -i {base}/v1/feeds/{feed.name}/messages{key} \\\n"
        "  -H 'Content-Type: application/json' \\\n"
        '  -H "Idempotency-Key: $(uuidgen)" \\\n'
        f"  -d '{quoted}'"
    )
    return f"""<h2 id="{_e(feed.name)}">{_e(feed.name)}</h2>
<p>{_e(feed.description)} <a href="/v1/feeds/{_e(feed.name)}">JSON Schema</a></p>
<pre>{_e(command)}</pre>
<table><tr><th>field</th><th>what it may be</th><th></th><th></th></tr>{rows}</table>
<p>A field that is not in this list is refused.</p>"""


def _marked(text: str) -> str:
    """A text of ours, in which backticks mark code."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", _e(text))


def _rules(schema: dict[str, Any]) -> str:
    """A type's schema in a few words."""
    either = [each.get("format", "") for each in schema.get("anyOf", ())]
    limits = [
        f"{name} {value if isinstance(value, str) else json.dumps(value)}"
        for name, value in schema.items()
        if name not in _SAID_OTHERWISE and value != "^[^\\u0000]*$"
    ]
    each = [f"each {_rules(schema['items'])}"] if "items" in schema else []
    return ", ".join(
        [str(schema.get("type", "")), *(["/".join(either)] if either else []), *limits, *each]
    )


def _problems() -> str:
    rows = "".join(
        f'<tr><td>{kind.status}</td><td><a href="{kind.type}">{_e(kind.name)}</a></td>'
        f"<td>{_e(kind.title)}</td><td>{_marked(kind.advice)}</td></tr>"
        for kind in KINDS
    )
    return f"""<h2 id="problems">Problems</h2>
<p>An error is <code>application/problem+json</code> (RFC 9457) with <code>type</code>,
<code>title</code>, <code>status</code>, <code>detail</code> and <code>error_id</code>, which the
service's log has too; for a record also <code>feed</code>, <code>field</code> and
<code>rule</code>. It never repeats what was sent.</p>
<table><tr><th>status</th><th>type</th><th>what</th><th>what to do</th></tr>{rows}</table>"""


def _advice(kind: Kind) -> str:
    return (
        f"<p>Status {kind.status}. {_marked(kind.advice)}</p>"
        '<p><a href="/problems">All problems</a></p>'
    )


def _page(title: str, *parts: str) -> Response:
    content = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{_e(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )
    headers = {"content-security-policy": _POLICY}
    return Response(content, headers=headers, media_type="text/html")


def _e(text: str) -> str:
    return html.escape(text)

"""Where alerts go, by the environment."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from pipeline.errors import SettingsError
from pipeline.operate.alerts.channels import Channel, Email, Slack, Webhook

WEBHOOK: Final = "PIPELINE_ALERT_WEBHOOK_URL"
SLACK: Final = "PIPELINE_ALERT_SLACK_URL"
SMTP: Final = "PIPELINE_ALERT_SMTP_URL"
FROM: Final = "PIPELINE_ALERT_EMAIL_FROM"
TO: Final = "PIPELINE_ALERT_EMAIL_TO"
WARNINGS: Final = "PIPELINE_ALERT_WARNINGS"
WEB: Final = "PIPELINE_WEB_URL"

_LOOPBACK: Final = {"localhost", "127.0.0.1", "::1"}
_SECURITY: Final = {"smtp": ("starttls", 587), "smtps": ("tls", 465), "smtp+plain": ("none", 25)}
_ADDRESS: Final = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\"]+")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says of alerts.

    Attributes:
        channels: Where they go; may be none.
        warnings: Whether checks that only warn are told of.
        web_url: Dagster's web UI, without a slash at its end; None where it is not known.
    """

    channels: tuple[Channel, ...]
    warnings: bool
    web_url: str | None

    def link(self, run_id: str | None) -> str | None:
        """The page of a run, where there is one."""
        return f"{self.web_url}/runs/{run_id}" if self.web_url and run_id else None


def read_settings(environment: Mapping[str, str]) -> Settings:
    """The settings of an environment.

    Raises:
        SettingsError: One cannot be used, or another one is missing. Nothing of it is repeated.
    """
    settings, wrong = read_sound(environment)
    if wrong:
        raise wrong[0]
    return settings


def read_sound(environment: Mapping[str, str]) -> tuple[Settings, list[SettingsError]]:
    """What can be used of an environment's settings, and what is wrong with the others."""
    channels: list[Channel] = []
    wrong: list[SettingsError] = []
    for read in (_webhook, _slack, _email):
        try:
            channels.extend(read(environment))
        except SettingsError as error:
            wrong.append(error)
    warnings = environment.get(WARNINGS) or "0"
    if warnings not in {"0", "1"}:
        wrong.append(
            SettingsError(f"{WARNINGS} is neither 0 nor 1", remedy="Set it to one of them")
        )
    web_url = None
    try:
        if environment.get(WEB):
            web_url = _url(WEB, environment[WEB], secret=False).geturl().rstrip("/")
    except SettingsError as error:
        wrong.append(error)
    return Settings(tuple(channels), warnings == "1", web_url), wrong


def _webhook(environment: Mapping[str, str]) -> Iterator[Channel]:
    if url := environment.get(WEBHOOK):
        yield Webhook(_url(WEBHOOK, url).geturl())


def _slack(environment: Mapping[str, str]) -> Iterator[Channel]:
    if url := environment.get(SLACK):
        yield Slack(_url(SLACK, url).geturl())


def _email(environment: Mapping[str, str]) -> Iterator[Channel]:
    given = [name for name in (SMTP, FROM, TO) if environment.get(name)]
    if given and len(given) < 3:  # noqa: PLR2004 - all of them
        raise SettingsError(
            f"{', '.join(given)} given, but not all of {SMTP}, {FROM}, {TO}",
            remedy="Set all three, or none",
        )
    if not given:
        return
    place = _split(SMTP, environment[SMTP], _SECURITY)
    security, port = _SECURITY[place.scheme]
    if security == "none" and place.username is not None:
        raise SettingsError(
            f"{SMTP} would send a password in the clear", remedy="Write smtp:// or smtps://"
        )
    yield Email(
        host=place.hostname or "",
        port=place.port or port,
        sender=_addresses(FROM, environment[FROM], most=1)[0],
        recipients=_addresses(TO, environment[TO], most=50),
        security=security,
        user=None if place.username is None else unquote(place.username),
        password=unquote(place.password or ""),
    )


def _addresses(name: str, text: str, *, most: int) -> tuple[str, ...]:
    found = tuple(each.strip() for each in text.split(","))
    if len(found) <= most and all(_ADDRESS.fullmatch(each) and each.isascii() for each in found):
        return found
    raise SettingsError(
        f"{name} is no e-mail address",
        remedy="Write ops@example.org; several recipients are separated by commas",
    )


def _url(name: str, text: str, *, secret: bool = True) -> SplitResult:
    """An address; one that holds a secret is only sent to where nobody listens on the way."""
    place = _split(name, text, ("https", "http"))
    if place.username is not None or place.password is not None:
        raise SettingsError(
            f"{name} holds a user name or a password, which nothing would send",
            remedy="Write the address without; a webhook's secret is a part of its path",
        )
    if secret and place.scheme == "http" and place.hostname not in _LOOPBACK:
        raise SettingsError(f"{name} is not encrypted", remedy="Write https://")
    return place


def _split(name: str, text: str, schemes: Collection[str]) -> SplitResult:
    try:
        place = urlsplit(text)
        sound = place.scheme in schemes and bool(place.hostname) and place.port != 0
    except ValueError:  # its text repeats the address
        sound = False
    if sound and text.isascii() and text.isprintable() and " " not in text:
        return place
    raise SettingsError(
        f"{name} is no address that can be used",
        remedy=f"Write a URL that begins with {' or '.join(f'{each}://' for each in schemes)}",
    )

"""Webhook, Slack and e-mail, to real servers: what they get, and what trouble with them tells."""

import logging
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.errors import AlertError, SettingsError
from pipeline.operate.alerts import channels
from pipeline.operate.alerts.alert import Alert, Standing
from pipeline.operate.alerts.channels import Channel, Slack, Webhook
from pipeline.operate.alerts.settings import read_settings
from pipeline_tests.alert_servers import SECRET, mail_server, webhook
from pipeline_tests.authority import LOOPBACK, Authority, authority
from pipeline_tests.outside_world import silent_port, unused_port
from pipeline_tests.samples import CANARY

__all__ = ["authority"]

RUN = "0b5f6f9c-3a3d-4c59-8b8e-000000000000"
LINK = f"https://dagster.example.org/runs/{RUN}"
ALERT = Alert(
    code="E_WAREHOUSE_UNAVAILABLE",
    feed="user_logins",
    place="job ingest_user_logins, step load_user_logins",
    what="the warehouse is not available <SQLSTATE 53300> & more",
    remedy="Check that Postgres is up",
    at=1_700_000_000.0,
    run_id=RUN,
)
ENVIRONMENT = {
    "PIPELINE_ALERT_EMAIL_FROM": "pipeline@example.org",
    "PIPELINE_ALERT_EMAIL_TO": "ops@example.org, Ann.B@example.org",
}


def email(url: str) -> Channel:
    (channel,) = read_settings(ENVIRONMENT | {"PIPELINE_ALERT_SMTP_URL": url}).channels
    return channel


def refusal(channel: Channel) -> str:
    """What is told where a channel takes no alert; the time that it took is bounded."""
    started = time.monotonic()
    with pytest.raises(AlertError) as caught:
        channel.deliver(ALERT, LINK)
    assert time.monotonic() - started < 8
    assert caught.value.__suppress_context__
    assert SECRET not in str(caught.value)
    assert CANARY not in str(caught.value)
    return str(caught.value)


def test_an_alert_has_a_title() -> None:
    assert ALERT.title == (
        "[new] E_WAREHOUSE_UNAVAILABLE (user_logins) at"
        " job ingest_user_logins, step load_user_logins"
    )
    again = replace(ALERT, standing=Standing.GOES_ON, count=7, feed=None)
    assert again.title == (
        "[goes on] E_WAREHOUSE_UNAVAILABLE at job ingest_user_logins, step load_user_logins: 7 more"
    )


def test_a_webhook_gets_what_where_and_what_to_do() -> None:
    with webhook() as server:
        Webhook(server.url).deliver(ALERT, LINK)
    assert server.paths == [f"/hooks/{SECRET}"]
    assert server.bodies == [
        {
            "id": ALERT.identity,
            "standing": "new",
            "code": "E_WAREHOUSE_UNAVAILABLE",
            "feed": "user_logins",
            "place": "job ingest_user_logins, step load_user_logins",
            "what": "the warehouse is not available <SQLSTATE 53300> & more",
            "to_do": "Check that Postgres is up",
            "at": "2023-11-14T22:13:20+00:00",
            "count": 1,
            "run_id": RUN,
            "link": LINK,
        }
    ]


def test_slack_gets_a_text_in_which_nothing_is_markup() -> None:
    with webhook() as server:
        Slack(server.url).deliver(ALERT, LINK)
    ((text,),) = (body.values() for body in server.bodies)
    assert list(server.bodies[0]) == ["text"]
    assert text.splitlines() == [
        ALERT.title,
        "What: the warehouse is not available &lt;SQLSTATE 53300&gt; &amp; more",
        "To do: Check that Postgres is up",
        f"Last: 2023-11-14 22:13:20 UTC, run {RUN}",
        LINK,
    ]


@pytest.mark.parametrize("status", [201, 202, 204])
def test_any_success_is_taken_for_one(status: int) -> None:
    with webhook() as server:
        server.status = status
        Webhook(server.url).deliver(ALERT, None)
    assert len(server.bodies) == 1


@pytest.mark.parametrize("status", [302, 307, 400, 404, 410, 429, 500, 503])
def test_any_other_answer_is_told_by_its_status(status: int) -> None:
    with webhook() as server:
        server.status = status
        assert f"slack took no alert (HTTP {status})" in refusal(Slack(server.url))


@pytest.mark.parametrize("status", [302, 307])
def test_a_redirect_is_not_followed(status: int) -> None:
    """The address is a secret, and the alert is meant for nobody else."""
    with webhook() as server, webhook() as other:
        server.status, server.headers = status, {"Location": other.url}
        refusal(Webhook(server.url))
    assert other.paths == []


def test_nobody_there_is_told_by_a_type() -> None:
    with unused_port() as port:
        told = refusal(Webhook(f"http://127.0.0.1:{port}/{SECRET}"))
        assert "webhook took no alert (ConnectionRefusedError)" in told
        assert "e-mail took no alert (ConnectionRefusedError)" in refusal(
            email(f"smtp://127.0.0.1:{port}")
        )


def test_one_that_never_answers_or_drips_for_ever_is_left_in_seconds() -> None:
    with silent_port() as port, webhook() as server, ThreadPoolExecutor(3) as pool:
        server.drips.set()
        told = list(
            pool.map(
                refusal,
                (
                    Webhook(f"http://127.0.0.1:{port}/{SECRET}"),
                    email(f"smtp://127.0.0.1:{port}"),
                    Webhook(server.url),
                ),
            )
        )
        server.drips.clear()
    assert "webhook took no alert (TimeoutError)" in told[0]
    assert "e-mail took no alert (SMTPServerDisconnected)" in told[1]
    assert "webhook took no alert (TimeoutError)" in told[2]


def test_no_address_is_ever_logged_or_shown(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with webhook() as server, caplog.at_level(logging.DEBUG):
        for channel in (Slack(server.url), Webhook(server.url)):
            channel.deliver(ALERT, None)
            server.status = 500
            refusal(channel)
            server.status = 200
            assert SECRET not in repr(channel)
    assert SECRET not in caplog.text + "".join(capfd.readouterr())
    settings = {"PIPELINE_ALERT_SMTP_URL": f"smtp://me:{SECRET}@127.0.0.1"}
    assert SECRET not in repr(read_settings(ENVIRONMENT | settings))


def test_a_letter_goes_over_starttls_and_after_a_log_in(authority: Authority) -> None:
    context = authority.context(LOOPBACK, datetime.now(UTC) + timedelta(days=1))
    with mail_server(context) as box:
        email(f"smtp://me:pass%40word@127.0.0.1:{box.port}").deliver(ALERT, LINK)
    assert box.secure == [True]
    assert box.recipients == ["rcpt TO:<ops@example.org>", "rcpt TO:<Ann.B@example.org>"]
    assert box.logins == ["AG1lAHBhc3NAd29yZA=="]  # RFC 4616
    (letter,) = box.letters
    assert letter["Subject"].replace("\r\n", "") == ALERT.title
    assert (letter["From"], letter["To"]) == (
        "pipeline@example.org",
        "ops@example.org, Ann.B@example.org",
    )
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["Date"] == "Tue, 14 Nov 2023 22:13:20 -0000"
    body = letter.get_payload(decode=True)
    assert isinstance(body, bytes)
    assert body.decode().splitlines() == ALERT.lines(LINK)


def test_a_letter_may_go_over_tls_from_the_beginning(authority: Authority) -> None:
    context = authority.context(LOOPBACK, datetime.now(UTC) + timedelta(days=1))
    with mail_server(context, at_once=True) as box:
        email(f"smtps://127.0.0.1:{box.port}").deliver(ALERT, None)
    assert box.secure == [True]
    assert box.logins == []


@pytest.mark.usefixtures("authority")
def test_a_server_without_tls_gets_no_letter_unless_that_is_asked_for() -> None:
    with mail_server() as box:
        assert "SMTPNotSupportedError" in refusal(email(f"smtp://127.0.0.1:{box.port}"))
        assert box.letters == []
        email(f"smtp+plain://127.0.0.1:{box.port}").deliver(ALERT, None)
    assert box.secure == [False]


def test_a_certificate_that_nobody_vouches_for_is_refused(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = authority.context(LOOPBACK, datetime.now(UTC) + timedelta(days=1))
    monkeypatch.delenv("SSL_CERT_FILE")
    with mail_server(context) as box:
        told = refusal(email(f"smtp://127.0.0.1:{box.port}"))
    assert "e-mail took no alert (SSLCertVerificationError)" in told
    assert box.letters == []


def test_a_refusal_of_the_mail_server_is_told_without_its_words() -> None:
    with mail_server() as box:
        box.refuses = True
        told = refusal(email(f"smtp+plain://127.0.0.1:{box.port}"))
    assert "e-mail took no alert (SMTPRecipientsRefused)" in told


def test_a_letter_that_was_taken_is_not_sent_again_for_want_of_a_good_bye() -> None:
    with mail_server() as box:
        box.polite = False
        email(f"smtp+plain://127.0.0.1:{box.port}").deliver(ALERT, None)
    assert len(box.letters) == 1


def test_no_text_makes_a_second_header() -> None:
    with mail_server() as box:
        wicked = Alert(
            code="E_X", feed=None, place="job a\r\nBcc: eve@example.org", what="", remedy="", at=0
        )
        email(f"smtp+plain://127.0.0.1:{box.port}").deliver(wicked, None)
    assert box.letters[0]["Bcc"] is None
    assert len(box.recipients) == 2


def test_each_try_of_an_alert_is_known_as_the_same() -> None:
    """One that was taken though it was given up is taken for what it is."""
    with mail_server() as box, webhook() as hook:
        for alert in (ALERT, ALERT, replace(ALERT, standing=Standing.GOES_ON, count=2)):
            email(f"smtp+plain://127.0.0.1:{box.port}").deliver(alert, None)
            Webhook(hook.url).deliver(alert, None)
    first, again, another = [letter["Message-ID"] for letter in box.letters]
    assert first == again != another
    assert re.fullmatch(r"<[0-9a-f]{16}\.sqs-postgres-pipeline@example\.org>", first)
    assert hook.bodies[0]["id"] in first
    assert hook.bodies[0]["id"] == hook.bodies[1]["id"] != hook.bodies[2]["id"]


def test_a_mail_server_may_take_its_time() -> None:
    with mail_server() as box:
        box.slow = 0.9
        started = time.monotonic()
        email(f"smtp+plain://127.0.0.1:{box.port}").deliver(ALERT, None)
    assert time.monotonic() - started > 5
    assert len(box.letters) == 1


def test_after_it_is_given_up_no_letter_goes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "_LETTER_SECONDS", 1.0)
    with mail_server() as box:
        box.slow = 0.4
        assert "e-mail took no alert (TimeoutError)" in refusal(
            email(f"smtp+plain://127.0.0.1:{box.port}")
        )
        assert box.left.wait(10)
    assert box.letters == []


def test_what_stays_on_this_machine_is_shown_to_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    with webhook() as server, webhook() as proxy:
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url.rpartition("/hooks")[0])
        Webhook(server.url).deliver(ALERT, None)
    assert (len(server.bodies), proxy.paths) == (1, [])


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"PIPELINE_ALERT_WEBHOOK_URL": f"http://example.org/{SECRET}"}, "is not encrypted"),
        ({"PIPELINE_ALERT_SLACK_URL": f"ftp://example.org/{SECRET}"}, "no address that can"),
        ({"PIPELINE_ALERT_SLACK_URL": f"https:///{SECRET}"}, "no address that can"),
        ({"PIPELINE_ALERT_SLACK_URL": f"https://[{SECRET}"}, "no address that can"),
        ({"PIPELINE_ALERT_SLACK_URL": f"https://a b/{SECRET}"}, "no address that can"),
        ({"PIPELINE_ALERT_SLACK_URL": SECRET}, "no address that can"),
        (
            {"PIPELINE_ALERT_SLACK_URL": f"https://u:{SECRET}@h/x"},
            "holds a user name or",
        ),
        (
            {"PIPELINE_ALERT_WEBHOOK_URL": f"https://{SECRET}@h/x"},
            "holds a user name or",
        ),
        ({"PIPELINE_WEB_URL": f"https://u:{SECRET}@h"}, "holds a user name or"),
        ({"PIPELINE_ALERT_SMTP_URL": f"smtp://{SECRET}@h:x"} | ENVIRONMENT, "no address that can"),
        ({"PIPELINE_ALERT_SMTP_URL": f"smtp+plain://u:{SECRET}@h"} | ENVIRONMENT, "in the clear"),
        ({"PIPELINE_ALERT_SMTP_URL": "smtp://h"}, "given, but not all of"),
        (ENVIRONMENT, "given, but not all of"),
        (
            ENVIRONMENT
            | {
                "PIPELINE_ALERT_SMTP_URL": "smtp://h",
                "PIPELINE_ALERT_EMAIL_TO": f"{SECRET}\r\nBcc: a@b",
            },
            "PIPELINE_ALERT_EMAIL_TO is no e-mail address",
        ),
        ({"PIPELINE_ALERT_WARNINGS": "yes"}, "neither 0 nor 1"),
        ({"PIPELINE_WEB_URL": "dagster.example.org"}, "PIPELINE_WEB_URL is no address"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_and_not_repeated(
    environment: dict[str, str], told: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(told)) as caught:
        read_settings(environment)
    assert SECRET not in str(caught.value)


def test_what_is_not_set_is_no_channel() -> None:
    settings = read_settings({})
    assert (settings.channels, settings.warnings, settings.link(RUN)) == ((), False, None)
    assert read_settings({"PIPELINE_WEB_URL": "https://dagster.example.org/"}).link(RUN) == LINK
    assert read_settings({"PIPELINE_WEB_URL": "https://dagster.example.org"}).link(None) is None

"""Both ways that mail leaves: what SES is sent, what it means when SES does not take it, and a developer's outbox."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from navplane.errors import DependencyUnavailable
from navplane.mail.outbox import OutboxMailer
from navplane.mail.ses import SesMailer
from navplane.model.mail import Mail
from navplane_cli.main import app
from typer.testing import CliRunner

from tests.support.http_script import Answer, ScriptedServer, serving
from tests.support.moto_server import aws_environment

MAIL = Mail(to="ada@example.com", subject="Invitation to Ünïcode", text="the token is npi_secret\n")


@pytest.fixture
def ses(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    with serving(lambda request: Answer(body=b'{"MessageId": "1"}')) as server:
        for name, value in aws_environment(server.url).items():
            monkeypatch.setenv(name, value)
        yield server


def test_ses_is_sent_the_mail_as_it_is(ses: ScriptedServer) -> None:
    SesMailer(sender="navplane@example.com").send(MAIL)
    (request,) = ses.requests
    assert (request.method, request.path) == ("POST", "/v2/email/outbound-emails")
    sent = json.loads(request.body)
    assert sent["FromEmailAddress"] == "navplane@example.com"
    assert sent["Destination"] == {"ToAddresses": [MAIL.to]}
    simple = sent["Content"]["Simple"]
    assert (simple["Subject"]["Data"], simple["Body"]["Text"]["Data"]) == (MAIL.subject, MAIL.text)


@pytest.mark.parametrize("status", [400, 403, 429, 500])
def test_mail_that_ses_does_not_take_is_our_fault_and_is_tried_once(ses: ScriptedServer, status: int) -> None:
    ses.script = lambda request: Answer(status=status, body=b'{"message": "no"}')
    with pytest.raises(DependencyUnavailable) as refused:
        SesMailer(sender="navplane@example.com").send(MAIL)
    assert len(ses.requests) == 1
    assert MAIL.to not in refused.value.message


def test_the_outbox_keeps_mail_for_its_owner_and_the_command_shows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = tmp_path / "mail"
    outbox.mkdir()
    OutboxMailer(outbox).send(MAIL)
    (kept,) = outbox.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    monkeypatch.setenv("NAVPLANE_STATE_DIR", str(tmp_path))
    shown = CliRunner().invoke(app, ["mail"]).output
    assert all(part in shown for part in (MAIL.to, MAIL.subject, MAIL.text))


def test_an_outbox_that_is_not_there_is_our_fault(tmp_path: Path) -> None:
    with pytest.raises(DependencyUnavailable):
        OutboxMailer(tmp_path / "nowhere").send(MAIL)


def test_a_mail_does_not_show_its_text_by_accident() -> None:
    assert "npi_secret" not in repr(MAIL)

"""The password that AWS makes out of an identity."""

from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
from navplane.errors import DependencyUnavailable
from navplane.store.iam_token import KEPT_SECONDS, IamToken

HOST = "db.cluster-abc.eu-west-1.rds.amazonaws.com"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-real-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")


def signed(token: str) -> tuple[str, dict[str, list[str]]]:
    parts = urlsplit(f"https://{token}")
    return f"{parts.netloc}{parts.path}", parse_qs(parts.query)


@pytest.mark.usefixtures("credentials")
def test_it_is_what_the_aws_sdk_makes_itself() -> None:
    # A session of its own: the default one keeps the credentials that it first met.
    rds = boto3.session.Session().client("rds")
    for _ in range(100):
        theirs = rds.generate_db_auth_token(DBHostname=HOST, Port=5432, DBUsername="navplane_gate")
        ours = IamToken(host=HOST, port=5432, user="navplane_gate")()
        # Again where the second turned between the two.
        if signed(ours)[1]["X-Amz-Date"] == signed(theirs)[1]["X-Amz-Date"]:
            break
    assert signed(ours) == signed(theirs)


@pytest.mark.usefixtures("credentials")
def test_it_is_kept_for_ten_minutes_and_made_anew_before_it_ends() -> None:
    clock = Clock()
    token = IamToken(host=HOST, port=5432, user="navplane_gate", clock=clock)
    first = token()
    clock.now += KEPT_SECONDS - 1
    assert token() is first
    clock.now += 1
    assert token() is not first
    assert int(signed(first)[1]["X-Amz-Expires"][0]) > KEPT_SECONDS


def test_without_credentials_it_is_a_dependencys_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    with pytest.raises(DependencyUnavailable):
        IamToken(host=HOST, port=5432, user="navplane_gate")()

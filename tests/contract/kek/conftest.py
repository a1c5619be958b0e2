"""Every KEK provider, as the contract suite sees it: two keys of the same kind, and where to find known answers."""

import os
from collections.abc import Callable, Iterator

import boto3
import pytest
from navplane.crypto.kek import Kek
from navplane.crypto.kek_aws_kms import AwsKmsKek
from navplane.crypto.kek_local import LocalKek

from tests.support.moto_server import aws_environment, moto_server

NewKek = Callable[[], "Kek"]


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with moto_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        for name, value in aws_environment(endpoint).items():
            patch.setenv(name, value)
        yield endpoint


def new_kms_kek() -> Kek:
    return AwsKmsKek(boto3.session.Session().client("kms").create_key()["KeyMetadata"]["Arn"])


@pytest.fixture(params=["local", "aws_kms"])
def new_kek(request: pytest.FixtureRequest) -> NewKek:
    if request.param == "local":
        return lambda: LocalKek(os.urandom(32))
    request.getfixturevalue("aws")
    return new_kms_kek


@pytest.fixture
def kek(new_kek: NewKek) -> Kek:
    return new_kek()

"""The template as CloudFormation would get it, once for all tests."""

import pytest

from tests.contract.template.cloudformation import SOURCE, Template, transform


@pytest.fixture(scope="session")
def template() -> Template:
    return transform(SOURCE.read_text(encoding="utf-8"))

"""The published schema of workflows, and the example of its page: as they are generated, and true to what is accepted."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from navplane.admin.workflow_document import compiled, schema
from navplane.admin.workflow_yaml import parse
from navplane.errors import Invalid
from navplane.model.ids import new_id
from navplane.model.limit import LimitScope

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"
EXAMPLE = re.findall(r"```yaml\n(.+?)```", (REFERENCE / "workflows.md").read_text(), re.DOTALL)[0]


def test_the_published_schema_is_the_one_that_is_generated() -> None:
    published = (REFERENCE / "workflow.schema.json").read_text()
    assert published == schema(), "python -m navplane.admin.workflow_document > docs/reference/workflow.schema.json"
    jsonschema.Draft202012Validator.check_schema(json.loads(published))


def test_the_example_of_the_page_is_accepted_by_both() -> None:
    jsonschema.validate(parse(EXAMPLE).value, json.loads(schema()))
    rows = compiled(EXAMPLE, org_id=new_id(), workspace_id=(workspace := new_id()), version_id=new_id())
    assert [route.name for route in rows.routes] == ["batch-traffic", "fast", "smart", "gpt"]
    assert [(limit.scope, limit.scope_id, limit.amount) for limit in rows.limits] == [
        (LimitScope.WORKSPACE, workspace, 600),
        (LimitScope.WORKSPACE, workspace, 250 * 10**9),
    ]
    assert rows.policy is not None
    assert (rows.policy.block_models, rows.widens) == (("gpt-4*",), False)


@pytest.mark.parametrize(
    "change",
    [
        "limts: []",
        "aliases: {fast: {provider: openai}}",
        "aliases: {'fa*': {provider: openai, model: m}}",
        "routes: [{name: a, match: a, targets: []}]",
        "limits: [{kind: usd_per_year, amount: 1}]",
        "limits: [{kind: usd_per_day, amount_usd: -1}]",
        "policy: {allow: []}",
    ],
)
def test_what_the_schema_refuses_is_refused(change: str) -> None:
    document = f"format: navplane-workflow/1\n{change}\n"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(parse(document).value, json.loads(schema()))
    with pytest.raises(Invalid, match="Line 2"):
        compiled(document, org_id=new_id(), workspace_id=None, version_id=new_id())

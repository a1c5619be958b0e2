"""Reading a transformed template: resources by type, the statements of a role, a function's environment."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
SOURCE = ROOT / "template.yaml"
Template = dict[str, Any]
Properties = dict[str, Any]

FUNCTIONS = {
    "ProxyFunction": "proxy",
    "AdminTenancyFunction": "admin_tenancy",
    "AdminPoliciesFunction": "admin_policies",
    "AdminProviderKeysFunction": "admin_provider_keys",
    "AdminAnalyticsFunction": "admin_analytics",
    "ConsoleFunction": "console",
    "RequestLogWriterFunction": "request_log_writer",
    "MaintenanceFunction": "maintenance",
    "MigrateFunction": "migrate",
    "AuditSignFunction": "audit_sign",
    "ProviderProbeFunction": "provider_probe",
    "NotifierFunction": "notifier",
    "RewrapKeysFunction": "rewrap_keys",
}


def transform(text: str) -> Template:
    """What CloudFormation would be given for the SAM template `text`."""
    finished = subprocess.run(
        [ROOT / ".venv-tools/bin/python", Path(__file__).with_name("transform.py")],
        input=text,
        env={**os.environ, "AWS_DEFAULT_REGION": "us-east-1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    template: Template = json.loads(finished.stdout)
    return template


def of_type(template: Template, kind: str) -> dict[str, Properties]:
    """Logical id → properties of the resources of one type."""
    return {name: found.get("Properties", {}) for name, found in template["Resources"].items() if found["Type"] == kind}


def functions(template: Template) -> dict[str, Properties]:
    return of_type(template, "AWS::Lambda::Function")


def role_of(template: Template, function: str) -> str:
    """The logical id of a function's role."""
    name, attribute = functions(template)[function]["Role"]["Fn::GetAtt"]
    assert attribute == "Arn"
    return str(name)


def either(value: Any) -> Iterator[Any]:
    """`value`, or both sides of its Fn::If: what could ever be there."""
    if isinstance(value, dict) and "Fn::If" in value:
        _, then, otherwise = value["Fn::If"]
        yield from either(then)
        yield from either(otherwise)
    elif value != {"Ref": "AWS::NoValue"}:
        yield value


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def statements(template: Template, role: str) -> list[dict[str, Any]]:
    """Every statement that a role's inline policies can have, whatever the conditions are."""
    listed = template["Resources"][role]["Properties"].get("Policies", [])
    policies = [policy for entry in listed for policy in either(entry)]
    return [statement for policy in policies for statement in as_list(policy["PolicyDocument"]["Statement"])]


def actions(template: Template, role: str) -> set[str]:
    return {action for statement in statements(template, role) for action in as_list(statement["Action"])}


def environment(template: Template, function: str) -> dict[str, str]:
    """A function's variables, every reference replaced by the parameter's default or a stand-in."""
    variables = functions(template)[function]["Environment"]["Variables"]
    return {name: _stand_in(template, value) for name, value in variables.items() if value != {"Ref": "AWS::NoValue"}}


def _stand_in(template: Template, value: Any) -> str:
    first = next(either(value))
    if isinstance(first, dict):
        parameter = template["Parameters"].get(first.get("Ref"), {})
        return str(parameter.get("Default", "stand-in"))
    return str(first)

"""Least authority: who may decrypt, as whom each function enters the database, and nothing granted at large."""

import json
from typing import Any

import pytest

from tests.contract.template.cloudformation import (
    FUNCTIONS,
    Template,
    actions,
    as_list,
    either,
    environment,
    functions,
    of_type,
    role_of,
    statements,
)

DATABASE_USERS = {
    "ProxyFunction": "navplane_gate",
    "AdminTenancyFunction": "navplane_admin",
    "AdminPoliciesFunction": "navplane_admin",
    "AdminProviderKeysFunction": "navplane_admin",
    "AdminAnalyticsFunction": "navplane_reader",
    "RequestLogWriterFunction": "navplane_writer",
    "MaintenanceFunction": "navplane_writer",
    "MigrateFunction": "navplane_owner",
    "AuditSignFunction": "navplane_signer",
    "ProviderProbeFunction": "navplane_probe",
    "NotifierFunction": "navplane_notifier",
    "RewrapKeysFunction": "navplane_rewrap",
}
# All that a role may do besides entering the database. The secret is granted only where KekProvider is local, mail only where
# a sender is set.
OTHER_ACTIONS = {
    "ConsoleFunction": {"secretsmanager:GetSecretValue"},
    "AdminTenancyFunction": {"ses:SendEmail"},
    "ProxyFunction": {"sqs:SendMessage", "sqs:GetQueueAttributes", "secretsmanager:GetSecretValue"},
    "AdminProviderKeysFunction": {"sqs:GetQueueAttributes", "secretsmanager:GetSecretValue", "lambda:InvokeFunction"},
    "RequestLogWriterFunction": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:SendMessage"},
    "AuditSignFunction": {"secretsmanager:GetSecretValue"},
    "ProviderProbeFunction": {"secretsmanager:GetSecretValue"},
    "NotifierFunction": {"secretsmanager:GetSecretValue", "ses:SendEmail", "sns:Publish"},
    "RewrapKeysFunction": {"secretsmanager:GetSecretValue"},
    "MaintenanceFunction": {"sqs:GetQueueAttributes", "cloudwatch:GetMetricStatistics", "lambda:InvokeFunction"},
}
# Reviewed: CloudWatch has no resource to name for its metrics, and they hold numbers only.
AT_LARGE = {("MaintenanceFunction", "cloudwatch:GetMetricStatistics")}
# Reviewed: a function's own logs, and network interfaces, which a function in a VPC makes.
MANAGED = {"AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole"}


def key_policy(template: Template) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = of_type(template, "AWS::KMS::Key")["KekKey"]["KeyPolicy"]["Statement"]
    assert all(statement["Effect"] == "Allow" for statement in found)
    return found


def who_may(template: Template, action: str) -> list[Any]:
    return [statement["Principal"]["AWS"] for statement in key_policy(template) if action in as_list(statement["Action"])]


def the_role(template: Template, function: str) -> dict[str, list[str]]:
    return {"Fn::GetAtt": [role_of(template, function), "Arn"]}


# Who may use the KEK beside the rotation, which may both. The signer's right ends at its own secret.
BOTH_WAYS = ("AuditSignFunction", "RewrapKeysFunction")
KEK_USERS = ("ProxyFunction", "AdminProviderKeysFunction", "ProviderProbeFunction", "NotifierFunction", *BOTH_WAYS)


def test_only_these_may_decrypt(template: Template) -> None:
    able = ("ProxyFunction", "ProviderProbeFunction", "NotifierFunction", *BOTH_WAYS)
    assert who_may(template, "kms:Decrypt") == [the_role(template, name) for name in able]


def test_the_probes_right_to_the_key_ends_at_what_it_asks_providers_with(template: Template) -> None:
    probe = the_role(template, "ProviderProbeFunction")
    (statement,) = [found for found in key_policy(template) if found["Principal"]["AWS"] == probe]
    assert statement["Action"] == "kms:Decrypt"
    assert statement["Condition"] == {
        "StringEquals": {"kms:EncryptionContext:navplane": ["provider_key", "reconciliation_key"]}
    }


@pytest.mark.parametrize(
    ("function", "kinds"),
    [("ProxyFunction", ["provider_key", "readiness"]), ("NotifierFunction", "webhook_secret")],
)
def test_who_opens_one_kind_of_secret_can_open_no_other(template: Template, function: str, kinds: Any) -> None:
    role = the_role(template, function)
    (statement,) = [found for found in key_policy(template) if found["Principal"]["AWS"] == role]
    assert statement["Action"] == "kms:Decrypt"
    assert statement["Condition"] == {"StringEquals": {"kms:EncryptionContext:navplane": kinds}}


def test_mail_and_topics_are_granted_only_where_they_are_named(template: Template) -> None:
    policies = template["Resources"][role_of(template, "NotifierFunction")]["Properties"]["Policies"]
    granting = [policy["Fn::If"] for policy in policies if "ses:" in json.dumps(policy) or "sns:" in json.dumps(policy)]
    found = {name: then["PolicyDocument"]["Statement"][0]["Resource"] for name, then, _ in granting}
    assert found == {"SendsMail": {"Ref": "MailIdentityArn"}, "HasAlertTopics": {"Ref": "AlertTopicArns"}}


def test_only_admin_provider_keys_and_maintenance_may_invoke_and_only_the_probe(template: Template) -> None:
    able = [
        (function, statement["Resource"])
        for function in FUNCTIONS
        for statement in statements(template, role_of(template, function))
        if "lambda:InvokeFunction" in as_list(statement["Action"])
    ]
    probe = {"Fn::GetAtt": ["ProviderProbeFunction", "Arn"]}
    assert able == [("AdminProviderKeysFunction", probe), ("MaintenanceFunction", probe)]


def test_only_admin_provider_keys_may_encrypt_what_is_not_its_own(template: Template) -> None:
    able = [the_role(template, name) for name in ("AdminProviderKeysFunction", *BOTH_WAYS)]
    assert who_may(template, "kms:Encrypt") == able


def test_the_key_that_replaces_the_other_has_the_same_policy(template: Template) -> None:
    first, second = (template["Resources"][name] for name in ("KekKey", "SecondKekKey"))
    assert (first["Condition"], second["Condition"]) == ("HasFirstKek", "HasSecondKek")
    assert {**first, "Condition": ""} == {**second, "Condition": ""}


def test_the_signers_right_to_the_key_ends_at_its_own_secret(template: Template) -> None:
    signer = the_role(template, "AuditSignFunction")
    (statement,) = [found for found in key_policy(template) if found["Principal"]["AWS"] == signer]
    assert statement["Condition"] == {"StringEquals": {"kms:EncryptionContext:navplane": "audit_key"}}


def test_the_account_administers_the_key_but_gives_nobody_its_use_through_iam(template: Template) -> None:
    granted = {action for statement in key_policy(template) for action in as_list(statement["Action"])}
    using = {"kms:Decrypt", "kms:Encrypt"}
    assert not any("*" in action for action in granted)
    assert not {a for a in granted - using if a.startswith(("kms:ReEncrypt", "kms:GenerateDataKey", "kms:CreateGrant"))}
    account = [statement for statement in key_policy(template) if statement["Sid"] == "AccountAdministers"]
    assert not using & set(account[0]["Action"])


def test_no_role_has_a_kms_action_of_its_own(template: Template) -> None:
    assert not [a for role in of_type(template, "AWS::IAM::Role") for a in actions(template, role) if a.startswith("kms:")]


def test_the_key_rotates_and_outlives_the_stack(template: Template) -> None:
    key = template["Resources"]["KekKey"]
    assert key["Properties"]["EnableKeyRotation"] is True
    assert (key["DeletionPolicy"], key["UpdateReplacePolicy"]) == ("Retain", "Retain")


@pytest.mark.parametrize("function", DATABASE_USERS)
def test_a_function_enters_the_database_as_its_own_user_only(template: Template, function: str) -> None:
    user = DATABASE_USERS[function]
    resources = [s["Resource"] for s in statements(template, role_of(template, function)) if s["Action"] == "rds-db:connect"]
    account = "arn:${AWS::Partition}:rds-db:${AWS::Region}:${AWS::AccountId}"
    assert resources == [{"Fn::Sub": f"{account}:dbuser:${{DatabaseResourceId}}/{user}"}]
    assert environment(template, function)["DATABASE_USER"] == user


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_may_do_nothing_else_than_is_listed(template: Template, function: str) -> None:
    role = role_of(template, function)
    connects = {"rds-db:connect"} if function in DATABASE_USERS else set()
    assert actions(template, role) == connects | OTHER_ACTIONS.get(function, set())


def test_all_functions_but_the_console_have_a_database_user() -> None:
    assert FUNCTIONS.keys() - DATABASE_USERS.keys() == {"ConsoleFunction"}


def test_the_console_reads_its_own_secrets_and_no_other(template: Template) -> None:
    granted = [statement["Resource"] for statement in statements(template, role_of(template, "ConsoleFunction"))]
    assert granted == [{"Ref": "ConsoleSessionKey"}, {"Ref": "ConsoleClientSecretId"}]
    readers = {
        function
        for function in FUNCTIONS
        for statement in statements(template, role_of(template, function))
        if statement["Resource"] in granted
    }
    assert readers == {"ConsoleFunction"}


def test_each_function_has_a_role_of_its_own(template: Template) -> None:
    roles = [role_of(template, function) for function in FUNCTIONS]
    assert sorted(set(roles)) == sorted(roles)
    assert set(of_type(template, "AWS::IAM::Role")) == set(roles)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_nothing_is_granted_at_large(template: Template, function: str) -> None:
    for statement in statements(template, role_of(template, function)):
        assert statement["Effect"] == "Allow"
        for action in as_list(statement["Action"]):
            assert "*" not in action
            assert "*" not in json.dumps(statement["Resource"]) or (function, action) in AT_LARGE


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_reviewed_managed_policies_are_attached(template: Template, function: str) -> None:
    attached = template["Resources"][role_of(template, function)]["Properties"]["ManagedPolicyArns"]
    arns = [arn["Fn::Sub"] if isinstance(arn, dict) else arn for entry in attached for arn in either(entry)]
    assert {arn.rpartition("/")[2] for arn in arns} <= MANAGED


@pytest.mark.parametrize("function", KEK_USERS)
def test_the_secret_of_a_local_kek_is_granted_only_where_there_is_one(template: Template, function: str) -> None:
    policies = template["Resources"][role_of(template, function)]["Properties"]["Policies"]
    granting = [policy for policy in policies if "secretsmanager" in json.dumps(policy)]
    assert [policy["Fn::If"][0] for policy in granting] == ["UsesLocalKek", "HasNewLocalKek"]
    assert all(policy["Fn::If"][2] == {"Ref": "AWS::NoValue"} for policy in granting)


def test_only_the_writer_consumes_and_only_the_proxy_sends_usage_events(template: Template) -> None:
    queue = {"Fn::GetAtt": ["UsageQueue", "Arn"]}
    able: dict[str, set[str]] = {"sqs:ReceiveMessage": set(), "sqs:SendMessage": set()}
    for function in functions(template):
        for statement in statements(template, role_of(template, function)):
            for action in able.keys() & set(as_list(statement["Action"])):
                able[action] |= {function} if statement["Resource"] == queue else set()
    assert able == {"sqs:ReceiveMessage": {"RequestLogWriterFunction"}, "sqs:SendMessage": {"ProxyFunction"}}

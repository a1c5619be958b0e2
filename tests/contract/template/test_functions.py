"""Template, function folders and settings classes name the same things."""

import ast
import os
from collections.abc import Iterator
from typing import Any

import pytest
from navplane import config

from tests.contract.template.cloudformation import FUNCTIONS, ROOT, Template, environment, functions

WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
# Said in the template for its readers: a token is never sent without TLS, so settings don't even look.
SAID_ANYWAY = {"DATABASE_TLS"}
# What settings may read and the stack leaves out, on purpose: other ways to give a secret, defaults, the local platform.
LEFT_OUT = {
    "AUTH0_DOMAIN",
    "CONSOLE_CLIENT_SECRET",
    "CONSOLE_SESSION_KEY",
    "DATABASE_PASSWORD",
    "ENCRYPTION_KEY",
    "ENCRYPTION_KEY_NEW",
    "MAIL_OUTBOX",
    "MAX_BODY_BYTES",
    "NAVPLANE_DEMO_UPSTREAM",
}
# It asks the admin API.
WITHOUT_DATABASE = {"ConsoleFunction"}


class ReadEnvironment(dict[str, str]):
    """An environment that remembers which names were asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> str:
        self.read.add(key)
        return super().__getitem__(key)


def source(folder: str) -> ast.Module:
    return ast.parse((ROOT / "functions" / folder / "handler.py").read_text(encoding="utf-8"))


def defined(module: ast.Module) -> Iterator[str]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef):
            yield node.name
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def settings_class(folder: str) -> Any:
    """The one settings class that a handler reads its environment with."""
    calls = [node for node in ast.walk(source(folder)) if isinstance(node, ast.Attribute) and node.attr == "from_env"]
    (name,) = {call.value.id for call in calls if isinstance(call.value, ast.Name)}
    return getattr(config, name)


def test_every_function_folder_is_in_the_template(template: Template) -> None:
    folders = {
        entry.name for entry in os.scandir(ROOT / "functions") if (ROOT / "functions" / entry.name / "handler.py").exists()
    }
    assert folders == set(FUNCTIONS.values())
    assert functions(template).keys() == FUNCTIONS.keys()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_is_deployed_from_its_folder(template: Template, function: str) -> None:
    assert functions(template)[function]["Code"]["S3Key"] == f"functions/{FUNCTIONS[function]}"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_handler_exists(template: Template, function: str) -> None:
    module, _, attribute = functions(template)[function]["Handler"].partition(".")
    assert module == "handler"
    assert attribute in set(defined(source(FUNCTIONS[function])))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_gets_every_variable_that_it_needs_and_none_that_it_does_not_read(template: Template, function: str) -> None:
    given = environment(template, function)
    env = ReadEnvironment(given)
    settings_class(FUNCTIONS[function]).from_env(env)
    assert given.keys() - {WRAPPER} - SAID_ANYWAY <= env.read
    assert env.read - given.keys() <= LEFT_OUT


@pytest.mark.parametrize("function", sorted(FUNCTIONS.keys() - WITHOUT_DATABASE))
def test_the_database_is_entered_with_a_token_over_tls(template: Template, function: str) -> None:
    settings = config.DatabaseSettings.from_env(environment(template, function))
    assert settings.auth is config.DatabaseAuth.IAM
    assert settings.tls
    assert environment(template, function)["DATABASE_TLS"] == "require"


def test_no_variable_holds_a_secret(template: Template) -> None:
    for function in FUNCTIONS:
        secrets = {"DATABASE_PASSWORD", "ENCRYPTION_KEY", "ENCRYPTION_KEY_NEW", "CONSOLE_SESSION_KEY", "CONSOLE_CLIENT_SECRET"}
        assert not secrets & environment(template, function).keys()


def test_the_console_is_neither_in_the_database_nor_in_its_vpc(template: Template) -> None:
    assert not [name for name in environment(template, "ConsoleFunction") if name.startswith("DATABASE_")]
    assert functions(template)["ConsoleFunction"]["VpcConfig"] == {"Ref": "AWS::NoValue"}


def test_only_the_proxy_runs_on_the_streaming_runtime(template: Template) -> None:
    wrapped = {name for name in FUNCTIONS if WRAPPER in environment(template, name)}
    layered = {name for name, found in functions(template).items() if any("RuntimeLayer" in x["Ref"] for x in found["Layers"])}
    assert wrapped == layered == {"ProxyFunction"}
    assert environment(template, "ProxyFunction")[WRAPPER] == "/opt/navplane-runtime"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_has_the_shared_layers_runtime_and_a_log_group_that_forgets(template: Template, function: str) -> None:
    found = functions(template)[function]
    layers = [layer["Ref"] for layer in found["Layers"]]
    assert layers[0].startswith("DependenciesLayer")
    assert layers[1].startswith("NavplaneLayer")
    assert found["Runtime"] == "python3.13"
    assert found["Architectures"] == [{"Ref": "Architecture"}]
    group = template["Resources"][found["LoggingConfig"]["LogGroup"]["Ref"]]
    assert group["Properties"]["RetentionInDays"] == {"Ref": "LogRetentionDays"}

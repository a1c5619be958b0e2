"""CloudFormation's intrinsic functions over a closed table: what is not in it is an error that names its path."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from navplane_local.template import Template, TemplateError

ACCOUNT_ID = "123456789012"
REGION = "us-east-1"
PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::Partition": "aws",
    "AWS::Region": REGION,
    "AWS::StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT_ID}:stack/navplane/local",
    "AWS::StackName": "navplane",
    "AWS::URLSuffix": "amazonaws.com",
}
NO_VALUE = object()
_PLACEHOLDER = re.compile(r"\$\{(!?[^}]+)\}")


class Resolver:
    """`parameters` override the template's defaults. `resources` maps `LogicalId` (for Ref) and `LogicalId.Attribute`
    (for GetAtt) to what they are here."""

    def __init__(self, template: Template, *, parameters: Mapping[str, str], resources: Mapping[str, str]) -> None:
        self._conditions: Mapping[str, Any] = template.get("Conditions", {})
        self._mappings: Mapping[str, Any] = template.get("Mappings", {})
        declared = template.get("Parameters", {})
        for name in parameters.keys() - declared.keys():
            raise TemplateError(f"Parameters.{name}", "the local cloud sets it, but the template does not declare it")
        given = {name: str(spec["Default"]) for name, spec in declared.items() if "Default" in spec} | dict(parameters)
        lists = {name: text.split(",") for name, text in given.items() if declared[name]["Type"] == "CommaDelimitedList"}
        self._values: Mapping[str, Any] = {
            **PSEUDO_PARAMETERS, "AWS::NoValue": NO_VALUE, **resources, **given, **lists,
        }  # fmt: skip
        self._functions: Mapping[str, Callable[[Any, str], Any]] = {
            "Ref": self._ref, "Fn::GetAtt": self._get_att, "Fn::Sub": self._sub, "Fn::Join": self._join,
            "Fn::If": self._if, "Fn::Equals": self._equals, "Fn::And": self._and, "Fn::Or": self._or, "Fn::Not": self._not,
            "Fn::FindInMap": self._find_in_map, "Fn::Select": self._select, "Fn::Split": self._split,
            "Condition": self._condition,
        }  # fmt: skip

    def resolve(self, value: Any, path: str) -> Any:
        """`value` with every intrinsic function replaced; what resolves to AWS::NoValue is left out."""
        if isinstance(value, list):
            items = [self.resolve(item, f"{path}[{index}]") for index, item in enumerate(value)]
            return [item for item in items if item is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1 and (name := next(iter(value))) and (name.startswith("Fn::") or name in self._functions):
            return self._apply(name, value[name], path)
        resolved = {key: self.resolve(item, f"{path}.{key}") for key, item in value.items()}
        return {key: item for key, item in resolved.items() if item is not NO_VALUE}

    def exists(self, resource: Mapping[str, Any], path: str) -> bool:
        """Whether the condition on a resource holds (or there is none)."""
        return "Condition" not in resource or bool(self._condition(resource["Condition"], f"{path}.Condition"))

    def _apply(self, name: str, argument: Any, path: str) -> Any:
        function = self._functions.get(name)
        if function is None:
            raise TemplateError(path, f"{name} is not among the functions that the local cloud resolves")
        try:
            return function(argument, f"{path}.{name}")
        except TemplateError:
            raise
        except (KeyError, IndexError, TypeError, ValueError) as exc:
            raise TemplateError(f"{path}.{name}", f"{argument!r} can't be resolved ({exc!r})") from exc

    def _ref(self, name: str, path: str) -> Any:
        if name not in self._values:
            raise TemplateError(path, f"{name} is neither a parameter with a value nor a local resource")
        return self._values[name]

    def _get_att(self, argument: list[str], path: str) -> Any:
        return self._ref(".".join(argument), path)

    def _sub(self, argument: Any, path: str) -> str:
        text, given = (argument, {}) if isinstance(argument, str) else argument
        values = self.resolve(given, f"{path}[1]")

        def replace(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("!"):
                return "${" + name[1:] + "}"
            return str(values[name] if name in values else self._ref(name, path))

        return _PLACEHOLDER.sub(replace, text)

    def _join(self, argument: list[Any], path: str) -> str:
        delimiter, parts = argument
        return str(delimiter).join(str(part) for part in self.resolve(parts, f"{path}[1]"))

    def _if(self, argument: list[Any], path: str) -> Any:
        name, then, otherwise = argument
        holds = self._condition(name, path)
        return self.resolve(then, f"{path}[1]") if holds else self.resolve(otherwise, f"{path}[2]")

    def _condition(self, name: str, path: str) -> bool:
        if name not in self._conditions:
            raise TemplateError(path, f"there is no condition {name}")
        return bool(self.resolve(self._conditions[name], f"Conditions.{name}"))

    def _equals(self, argument: list[Any], path: str) -> bool:
        left, right = self.resolve(argument, path)
        return str(left) == str(right)

    def _and(self, argument: list[Any], path: str) -> bool:
        return all(self.resolve(argument, path))

    def _or(self, argument: list[Any], path: str) -> bool:
        return any(self.resolve(argument, path))

    def _not(self, argument: list[Any], path: str) -> bool:
        (value,) = self.resolve(argument, path)
        return not value

    def _find_in_map(self, argument: list[Any], path: str) -> Any:
        name, first, second = self.resolve(argument, path)
        return self._mappings[name][first][second]

    def _select(self, argument: list[Any], path: str) -> Any:
        index, items = self.resolve(argument, path)
        return items[int(index)]

    def _split(self, argument: list[Any], path: str) -> list[str]:
        delimiter, text = self.resolve(argument, path)
        return str(text).split(delimiter)

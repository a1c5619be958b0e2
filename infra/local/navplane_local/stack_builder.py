"""From a template to a Stack: the closed table of local resources, and every property the local cloud reads."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from navplane_local.resolver import ACCOUNT_ID, NO_VALUE, REGION, Resolver
from navplane_local.stack import Function, Queue, RestApi, Route, Schedule, SqsSource, Stack, queue_arn
from navplane_local.template import Template, TemplateError

FUNCTION = "AWS::Serverless::Function"
LAYER = "AWS::Serverless::LayerVersion"
HTTP_API = "AWS::Serverless::HttpApi"
REST_API = "AWS::Serverless::Api"
QUEUE = "AWS::SQS::Queue"
SECRET = "AWS::SecretsManager::Secret"  # noqa: S105 - a type of resource
DEFAULT_CONCURRENCY = 10
UNIT_SECONDS = {"minute": 60, "hour": 3600, "day": 86400}


def local_resources(template: Template, *, aws_endpoint: str, suffix: str = "") -> dict[str, str]:
    """The closed table: what Ref and GetAtt give for the resources that exist locally. `aws_endpoint` serves the queues,
    whose names end with `suffix`, as CloudFormation's do."""
    table: dict[str, str] = {}
    for logical_id, resource in template["Resources"].items():
        kind = resource.get("Type")
        if kind == QUEUE:
            name = f"{logical_id}{suffix}"
            table[logical_id] = f"{aws_endpoint}/{ACCOUNT_ID}/{name}"
            table[f"{logical_id}.Arn"], table[f"{logical_id}.QueueName"] = queue_arn(name), name
        elif kind == FUNCTION:
            table[logical_id] = logical_id
            table[f"{logical_id}.Arn"] = f"arn:aws:lambda:{REGION}:{ACCOUNT_ID}:function:{logical_id}"
        elif kind in (LAYER, HTTP_API, REST_API, SECRET):
            table[logical_id] = logical_id
    return table


def build(
    template: Template,
    *,
    root: Path,
    aws_endpoint: str,
    suffix: str = "",
    parameters: Mapping[str, str],
    resources: Mapping[str, str] | None = None,
) -> Stack:
    """Raise TemplateError, naming the path, for what the local cloud can't do. `root` is where the template lies;
    `resources` adds to the closed table, or replaces some of it."""
    table = local_resources(template, aws_endpoint=aws_endpoint, suffix=suffix) | dict(resources or {})
    return _Builder(template, root, Resolver(template, parameters=parameters, resources=table)).stack()


class _Builder:
    def __init__(self, template: Template, root: Path, resolver: Resolver) -> None:
        self._template, self._root, self._resolver = template, root, resolver
        self._global: Mapping[str, Any] = template.get("Globals", {}).get("Function", {})
        self._routes: list[Route] = []

    def stack(self) -> Stack:
        functions = {name: self._function(name, properties, path) for name, properties, path in self._of_type(FUNCTION)}
        return Stack(
            functions=functions,
            queues={name: self._queue(name, properties, path) for name, properties, path in self._of_type(QUEUE)},
            routes=tuple(self._routes),
            rest_apis={name: self._rest_api(name, properties, path) for name, properties, path in self._of_type(REST_API)},
        )

    def _of_type(self, kind: str) -> Iterator[tuple[str, Mapping[str, Any], str]]:
        for name, resource in self._template["Resources"].items():
            path = f"Resources.{name}"
            if resource.get("Type") == kind and self._resolver.exists(resource, path):
                yield name, resource.get("Properties", {}), f"{path}.Properties"

    def _get(self, properties: Mapping[str, Any], path: str, name: str, default: Any) -> Any:
        value = self._resolver.resolve(properties.get(name, default), f"{path}.{name}")
        return default if value is NO_VALUE else value

    def _function(self, logical_id: str, properties: Mapping[str, Any], path: str) -> Function:
        code = self._get(properties, path, "CodeUri", self._global.get("CodeUri"))
        if not isinstance(code, str):
            raise TemplateError(f"{path}.CodeUri", "must be a folder of this checkout")
        folder = self._root / code
        sources, schedules = self._events(logical_id, properties, path)
        reserved = self._get(properties, path, "ReservedConcurrentExecutions", DEFAULT_CONCURRENCY)
        return Function(
            logical_id=logical_id,
            name=folder.name,
            folder=folder,
            handler=self._get(properties, path, "Handler", self._global.get("Handler")),
            timeout_seconds=float(self._get(properties, path, "Timeout", self._global.get("Timeout", 3))),
            memory_mb=int(self._get(properties, path, "MemorySize", self._global.get("MemorySize", 128))),
            environment=self._environment(properties, path),
            layers=self._layers(properties, path),
            concurrency=int(reserved),
            function_url_streams=self._function_url(properties, path),
            sources=tuple(sources),
            schedules=tuple(schedules),
        )

    def _environment(self, properties: Mapping[str, Any], path: str) -> dict[str, str]:
        given = {**self._global.get("Environment", {}).get("Variables", {})}
        given |= properties.get("Environment", {}).get("Variables", {})
        variables = self._resolver.resolve(given, f"{path}.Environment.Variables")
        for name, value in variables.items():
            if not isinstance(value, str | int | float):
                raise TemplateError(f"{path}.Environment.Variables.{name}", f"{value!r} is not text")
        return {name: _text(value) for name, value in variables.items()}

    def _layers(self, properties: Mapping[str, Any], path: str) -> tuple[Path, ...]:
        # SAM puts the layers of Globals in front of a function's own.
        listed = [*self._global.get("Layers", []), *properties.get("Layers", [])]
        names = self._resolver.resolve(listed, f"{path}.Layers")
        return tuple(self._layer_path(name, f"{path}.Layers") for name in names)

    def _layer_path(self, name: str, path: str) -> Path:
        layer = self._template["Resources"].get(name)
        if layer is None or layer.get("Type") != LAYER:
            raise TemplateError(path, f"{name} is not a layer of this template")
        content = self._root / str(layer["Properties"]["ContentUri"])
        return content if content.name == "python" else content / "python"

    def _function_url(self, properties: Mapping[str, Any], path: str) -> bool | None:
        if "FunctionUrlConfig" not in properties:
            return None
        config = self._get(properties, path, "FunctionUrlConfig", {})
        return bool(config.get("InvokeMode", "BUFFERED") == "RESPONSE_STREAM")

    def _events(self, function: str, properties: Mapping[str, Any], path: str) -> tuple[list[SqsSource], list[Schedule]]:
        sources: list[SqsSource] = []
        schedules: list[Schedule] = []
        for name, event in properties.get("Events", {}).items():
            where = f"{path}.Events.{name}"
            details = event.get("Properties", {})
            match event["Type"]:
                case "HttpApi" | "Api" as kind:
                    self._routes.append(self._route(function, kind, details, f"{where}.Properties"))
                case "SQS":
                    sources.append(self._source(details, f"{where}.Properties"))
                case "Schedule" | "ScheduleV2":
                    schedules.append(self._schedule(name, details, f"{where}.Properties"))
                case kind:
                    raise TemplateError(f"{where}.Type", f"the local cloud has no event source {kind}")
        return sources, schedules

    def _route(self, function: str, kind: str, details: Mapping[str, Any], path: str) -> Route:
        return Route(
            api=self._get(details, path, "ApiId" if kind == "HttpApi" else "RestApiId", f"Serverless{kind}"),
            method=self._get(details, path, "Method", "ANY").upper(),
            path=self._get(details, path, "Path", "/{proxy+}"),
            function=function,
            streaming=self._get(details, path, "ResponseTransferMode", "BUFFERED") == "RESPONSE_STREAM",
        )

    def _source(self, details: Mapping[str, Any], path: str) -> SqsSource:
        scaling = self._get(details, path, "ScalingConfig", {})
        return SqsSource(
            queue=self._queue_named(self._get(details, path, "Queue", None), f"{path}.Queue"),
            batch_size=int(self._get(details, path, "BatchSize", 10)),
            window_seconds=float(self._get(details, path, "MaximumBatchingWindowInSeconds", 0)),
            reports_item_failures="ReportBatchItemFailures" in self._get(details, path, "FunctionResponseTypes", []),
            concurrency=int(scaling.get("MaximumConcurrency", 2)),
        )

    def _queue_named(self, arn: str | None, path: str) -> str:
        for name, _, where in self._of_type(QUEUE):
            if arn == queue_arn(self._physical_name(name, where)):
                return name
        raise TemplateError(path, f"{arn} is not a queue of this template")

    def _schedule(self, name: str, details: Mapping[str, Any], path: str) -> Schedule:
        key = "ScheduleExpression" if "ScheduleExpression" in details else "Schedule"
        expression = self._get(details, path, key, "")
        rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", expression)
        if rate is None:
            raise TemplateError(f"{path}.{key}", f"{expression!r}: only rate(…) in minutes, hours or days runs locally")
        every = int(rate[1]) * UNIT_SECONDS[rate[2]]
        return Schedule(name=name, every_seconds=every, input=self._get(details, path, "Input", None))

    def _queue(self, logical_id: str, properties: Mapping[str, Any], path: str) -> Queue:
        redrive = self._get(properties, path, "RedrivePolicy", {})
        target = redrive.get("deadLetterTargetArn")
        return Queue(
            logical_id=logical_id,
            name=self._physical_name(logical_id, path),
            visibility_seconds=int(self._get(properties, path, "VisibilityTimeout", 30)),
            retention_seconds=int(self._get(properties, path, "MessageRetentionPeriod", 345600)),
            dead_letter_queue=self._queue_named(target, f"{path}.RedrivePolicy") if target else None,
            max_receive_count=int(redrive["maxReceiveCount"]) if target else None,
        )

    def _physical_name(self, logical_id: str, path: str) -> str:
        """CloudFormation's, not the template's: two stacks in one account must not meet."""
        return str(self._resolver.resolve({"Fn::GetAtt": [logical_id, "QueueName"]}, path))

    def _rest_api(self, logical_id: str, properties: Mapping[str, Any], path: str) -> RestApi:
        types = self._get(properties, path, "BinaryMediaTypes", [])
        return RestApi(
            logical_id=logical_id,
            stage=self._get(properties, path, "StageName", "Prod"),
            # SAM writes `*~1*` for `*/*`.
            binary_types=tuple(text.replace("~1", "/") for text in types),
        )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

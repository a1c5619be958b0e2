"""CloudFormation's functions, and the path that an error names."""

from typing import Any

import pytest
import yaml
from navplane_local import template
from navplane_local.resolver import NO_VALUE, Resolver
from navplane_local.template import TemplateError

TEMPLATE = template.parse("""
Parameters:
  Mode: {Type: String, Default: aws}
  Region: {Type: String}
  Subnets: {Type: CommaDelimitedList, Default: 'a,b'}
Mappings:
  Sizes: {us: {memory: 512}, eu: {memory: 256}}
Conditions:
  Local: !Equals [!Ref Mode, local]
  Aws: !Not [!Condition Local]
  Both: !And [!Condition Local, !Condition Aws]
  Either: !Or [!Condition Local, !Condition Aws]
Resources:
  Queue: {Type: AWS::SQS::Queue}
""")


def resolve(text: str, **parameters: str) -> Any:
    resolver = Resolver(
        TEMPLATE,
        parameters={"Region": "us", **parameters},
        resources={"Queue": "http://q/Queue", "Queue.Arn": "arn:queue"},
    )
    document = template.parse(yaml.safe_dump({"Resources": {}}) + f"Value: {text}\n")
    return resolver.resolve(document["Value"], "Value")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("!Ref Queue", "http://q/Queue"),
        ("!Ref Subnets", ["a", "b"]),
        ("!Ref AWS::Region", "us-east-1"),
        ("!Ref AWS::NoValue", NO_VALUE),
        ("!GetAtt Queue.Arn", "arn:queue"),
        ("!GetAtt [Queue, Arn]", "arn:queue"),
        ("{'Fn::GetAtt': [Queue, Arn]}", "arn:queue"),
        ("!Sub '${Mode}-${Queue.Arn}-${!literal}'", "aws-arn:queue-${literal}"),
        ("!Sub ['${Own}-${Mode}', {Own: !Ref Region}]", "us-aws"),
        ("!Join ['-', [a, !Ref Mode]]", "a-aws"),
        ("!If [Local, 1, 2]", 2),
        ("!If [Aws, !Ref Mode, !Ref Nothing]", "aws"),
        ("!If [Both, 1, 2]", 2),
        ("!If [Either, 1, 2]", 1),
        ("!FindInMap [Sizes, !Ref Region, memory]", 512),
        ("!Select [1, !Split [',', 'a,b']]", "b"),
        ("[1, !Ref AWS::NoValue, {a: !Ref AWS::NoValue, b: 2}]", [1, {"b": 2}]),
        ("2012-10-17", "2012-10-17"),
    ],
)
def test_intrinsic_functions(text: str, value: object) -> None:
    assert resolve(text) == value


def test_parameters_replace_defaults() -> None:
    assert resolve("!If [Local, !Ref Region, no]", Mode="local", Region="eu") == "eu"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{a: [1, !Ref Nowhere]}", "Value.a[1].Ref"),
        ("{a: !GetAtt Queue.Owner}", "Value.a.Fn::GetAtt"),
        ("!Sub '${Nowhere}'", "Value.Fn::Sub"),
        ("!Join ['-', [!Ref Nowhere]]", "Value.Fn::Join[1][0].Ref"),
        ("!If [Nowhere, 1, 2]", "Value.Fn::If"),
        ("!If [Local, 1, !Ref Nowhere]", "Value.Fn::If[2].Ref"),
        ("!FindInMap [Sizes, asia, memory]", "Value.Fn::FindInMap"),
        ("!Select [7, [a]]", "Value.Fn::Select"),
        ("{a: !Base64 x}", "Value.a"),
        ("{a: !ImportValue x}", "Value.a"),
    ],
)
def test_what_is_not_in_the_table_is_an_error_that_names_its_path(text: str, path: str) -> None:
    with pytest.raises(TemplateError) as raised:
        resolve(text)
    assert raised.value.path == path
    assert str(raised.value).startswith(f"{path}: ")


def test_parameter_that_the_template_does_not_declare_is_an_error() -> None:
    with pytest.raises(TemplateError, match=r"^Parameters\.Typo: "):
        resolve("1", Typo="x")

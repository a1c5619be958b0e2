"""Prints what CloudFormation would be given for the SAM template on standard input, as JSON.

Run with the Python of the AWS tools, so that the translator is the one that `sam validate` uses.
"""

import json
import sys
from typing import Any

from samtranslator.translator.transform import transform  # type: ignore[import-untyped]
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-untyped]


class NoManagedPolicies:
    """Knows no managed policy by name, where the translator's own loader would ask IAM."""

    def load(self) -> dict[str, str]:
        return {}


def upload(template: dict[str, Any]) -> None:
    """Replace the local folders as `sam package` would: the translator takes S3 addresses only."""
    for resource in template["Resources"].values():
        for name in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys():
            resource["Properties"][name] = "s3://bucket/" + resource["Properties"][name]


def main() -> None:
    template = yaml_parse(sys.stdin.read())
    upload(template)
    parameters = {name: spec["Default"] for name, spec in template["Parameters"].items() if "Default" in spec}
    loader: Any = NoManagedPolicies()
    json.dump(transform(template, parameters, loader), sys.stdout)


if __name__ == "__main__":
    main()

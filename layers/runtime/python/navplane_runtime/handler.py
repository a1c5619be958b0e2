"""Load the app that _HANDLER names, the way the managed runtime does."""

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from navplane_runtime.fault import Fault
from navplane_runtime.loop import App


class LoadError(Exception):
    """The app can't be had; `fault` says why, with the managed runtime's error types."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message)
        self.fault = fault


def extend_path(env: Mapping[str, str]) -> None:
    """Make sys.path what the managed runtime's bootstrap makes it: the function's own code, the layers, boto3."""
    layers = Path(__file__).resolve().parents[1]
    site_packages = layers / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    first = [env["LAMBDA_TASK_ROOT"]] if "LAMBDA_TASK_ROOT" in env else []
    sys.path[:0] = [*first, *([str(site_packages)] if site_packages.is_dir() else [])]
    if "LAMBDA_RUNTIME_DIR" in env:
        sys.path.append(env["LAMBDA_RUNTIME_DIR"])


def load(name: str) -> App:
    """`name` is `module.attribute` or `folder/module.attribute`. Raise LoadError."""
    module_name, dot, attribute = name.rpartition(".")
    if not dot:
        raise LoadError(Fault("Runtime.MalformedHandlerName", f"the handler {name!r} has no dot"))
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as exc:
        raise LoadError(Fault.from_exception(exc, type="Runtime.ImportModuleError")) from exc
    except SyntaxError as exc:
        raise LoadError(Fault.from_exception(exc, type="Runtime.UserCodeSyntaxError")) from exc
    except Exception as exc:
        raise LoadError(Fault.from_exception(exc)) from exc
    app = getattr(module, attribute, None)
    if not callable(app):
        raise LoadError(Fault("Runtime.HandlerNotFound", f"{module_name} has no callable {attribute!r}"))
    return cast(App, app)

"""What `make build` makes, built for real in a copy of the tree: the right wheels for the processor, and nothing unexpected."""

import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from email.parser import HeaderParser
from pathlib import Path

import pytest
import yaml

from tests.contract.template.cloudformation import FUNCTIONS, ROOT

MACHINES = {"arm64": ("aarch64", 0xB7), "x86_64": ("x86_64", 0x3E)}
AMAZON_LINUX_2023_GLIBC = 34
# Lambda's limit on a function and its layers together, unzipped.
LARGEST = 250 * 1024 * 1024
Build = Callable[[str], Path]


def run(*command: str | Path, cwd: Path, path: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PATH": f"{path}:/usr/bin:/bin"}
    env.pop("PYTHON313", None)
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout of its own, so that nobody's build is disturbed, with the tool chain of this one."""
    root = tmp_path_factory.mktemp("checkout")
    for name in ("functions", "layers", "infra/build", "requirements"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "template.yaml", root)
    for name in (".venv", ".venv-uv", ".venv-tools"):
        (root / name).symlink_to(ROOT / name)
    return root


@pytest.fixture(scope="module")
def no_python_3_13(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the PATH with a python3.13 that does not run, as version managers leave one."""
    folder = tmp_path_factory.mktemp("bin")
    shim = folder / "python3.13"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def build(tree: Path, no_python_3_13: Path) -> Build:
    """Builds for an architecture, once, and returns the folder of what came of it."""
    done: dict[str, Path] = {}

    def run_once(architecture: str) -> Path:
        if architecture not in done:
            finished = run("infra/build/build", architecture, cwd=tree, path=no_python_3_13)
            assert finished.returncode == 0, finished.stderr
            done[architecture] = tree / ".build" / architecture
        return done[architecture]

    return run_once


def distributions(layer: Path) -> dict[str, list[str]]:
    """Name → wheel tags of every distribution in a layer."""
    found = {}
    for info in (layer / "python").glob("*.dist-info"):
        name = HeaderParser().parsestr((info / "METADATA").read_text(encoding="utf-8"))["Name"]
        tags = HeaderParser().parsestr((info / "WHEEL").read_text(encoding="utf-8")).get_all("Tag")
        found[name.lower().replace("_", "-")] = tags or []
    return found


def locked() -> set[str]:
    """The names in the lock that apply to Python 3.13 on Linux."""
    lines = (ROOT / "requirements/lambda.txt").read_text(encoding="utf-8").splitlines()
    pins = [re.match(r"([a-z0-9-]+)==[^ ]+( ; .*emscripten' and|.*== 'emscripten')?", line) for line in lines]
    return {pin[1] for pin in pins if pin and not pin[2]}


def runs_on(tag: str, machine: str) -> bool:
    """Whether a wheel with this tag runs on Lambda's Python 3.13 on Amazon Linux 2023."""
    python, abi, platform = tag.split("-")
    if platform == "any":
        return python.startswith(("py3", "py2.py3")) and abi == "none"
    glibc = re.fullmatch(rf"manylinux_2_(\d+)_{machine}", platform)
    new_enough = platform == f"manylinux2014_{machine}" or (glibc is not None and int(glibc[1]) <= AMAZON_LINUX_2023_GLIBC)
    return new_enough and (abi == "cp313" or (abi == "abi3" and int(python.removeprefix("cp3")) <= 13))


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("architecture", MACHINES)
def test_the_dependencies_are_the_locked_wheels_for_the_functions_processor(build: Build, architecture: str) -> None:
    found = distributions(build(architecture) / "DependenciesLayer")
    machine, _ = MACHINES[architecture]
    assert found.keys() == locked()
    assert not {"boto3", "botocore"} & found.keys()
    assert {name: tags for name, tags in found.items() if not any(runs_on(tag, machine) for tag in tags)} == {}


@pytest.mark.parametrize("architecture", MACHINES)
def test_every_extension_module_is_for_python_3_13_on_the_functions_processor(build: Build, architecture: str) -> None:
    machine, elf_machine = MACHINES[architecture]
    modules = [path for path in files(build(architecture) / "DependenciesLayer") if ".so" in path.suffixes]
    assert len(modules) >= 5
    for module in modules:
        header = module.read_bytes()[:20]
        assert header[:4] == b"\x7fELF", module
        assert struct.unpack("<H", header[18:20])[0] == elf_machine, module
        assert module.name.endswith((f".cpython-313-{machine}-linux-gnu.so", ".abi3.so")), module


@pytest.mark.parametrize("architecture", MACHINES)
def test_nothing_is_shipped_that_python_would_run_by_itself(build: Build, architecture: str) -> None:
    names = [path.name for path in files(build(architecture))]
    assert not [name for name in names if name.endswith(".pth") or name.startswith(("sitecustomize", "usercustomize"))]


@pytest.mark.parametrize("architecture", MACHINES)
def test_a_build_can_only_be_deployed_on_its_own_architecture(build: Build, architecture: str) -> None:
    built = yaml.safe_load((build(architecture) / "template.yaml").read_text(encoding="utf-8"))
    parameter = built["Parameters"]["Architecture"]
    assert (parameter["AllowedValues"], parameter["Default"]) == ([architecture], architecture)


def test_functions_and_layers_fit_into_lambda(build: Build) -> None:
    built = build("arm64")
    layers = [built / name for name in ("DependenciesLayer", "RuntimeLayer", "NavplaneLayer")]
    assert sum(path.stat().st_size for folder in layers for path in files(folder)) < LARGEST / 2
    assert os.access(built / "RuntimeLayer/navplane-runtime", os.X_OK)
    assert (built / "RuntimeLayer/python/navplane_runtime/__main__.py").exists()
    assert list((built / "NavplaneLayer/python/navplane/store/migrations").glob("*.sql"))


def test_a_function_is_its_folder_and_nothing_else(build: Build, tree: Path) -> None:
    for logical_id, name in FUNCTIONS.items():
        shipped = {path.relative_to(build("arm64") / logical_id) for path in files(build("arm64") / logical_id)}
        assert Path("handler.py") in shipped
        assert shipped == {path.relative_to(tree / "functions" / name) for path in files(tree / "functions" / name)}


def test_without_a_python_3_13_the_sources_are_shipped_alone(build: Build) -> None:
    assert not list(build("arm64").rglob("*.pyc"))


def test_the_hosts_build_has_the_same_parts_with_byte_code(build: Build) -> None:
    host = build("host")
    assert {folder.name for folder in (host / "functions").iterdir()} == set(FUNCTIONS.values())
    assert os.access(host / "opt/navplane-runtime", os.X_OK)
    compiled = {path.parent.parent.name for path in (host / "opt/python").rglob("*.pyc")}
    assert {"navplane", "navplane_runtime", "fastapi", "cryptography"} <= compiled


def test_the_hosts_build_needs_no_package_but_its_own_and_the_managed_runtimes(build: Build) -> None:
    opt = build("host") / "opt/python"
    imported = "aiohttp, cryptography, fastapi, httpx2, jwt, mangum, pg8000, navplane"
    program = f"import sys; sys.path.insert(0, {str(opt)!r}); import {imported}"
    finished = subprocess.run(
        [ROOT / ".venv/bin/python", "-I", "-S", "-c", program], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr


def test_the_hosts_build_is_repeated_only_after_a_change(build: Build, tree: Path, no_python_3_13: Path) -> None:
    before = (build("host") / "opt").stat().st_ino
    assert run("infra/build/build", "host", cwd=tree, path=no_python_3_13).returncode == 0
    assert (tree / ".build/host/opt").stat().st_ino == before
    (tree / "layers/navplane/python/navplane/added.py").write_text("ADDED = True\n")
    assert run("infra/build/build", "host", cwd=tree, path=no_python_3_13).returncode == 0
    assert (tree / ".build/host/opt/python/navplane/added.py").exists()
    (tree / "layers/navplane/python/navplane/added.py").unlink()


@pytest.mark.parametrize("name", ["poisoned.pth", "sitecustomize.py", "package/usercustomize.py"])
def test_a_package_that_would_run_by_itself_fails_the_build(tmp_path: Path, name: str) -> None:
    (tmp_path / "python/package").mkdir(parents=True)
    (tmp_path / "python/package/__init__.py").touch()
    assert run(ROOT / "infra/build/finish", tmp_path, cwd=tmp_path, path=tmp_path).returncode == 0
    (tmp_path / "python" / name).write_text("import os\n")
    finished = run(ROOT / "infra/build/finish", tmp_path, cwd=tmp_path, path=tmp_path)
    assert finished.returncode == 1
    assert name in finished.stderr


def test_an_architecture_that_lambda_does_not_have_is_refused(tree: Path, no_python_3_13: Path) -> None:
    finished = run("infra/build/build", "riscv64", cwd=tree, path=no_python_3_13)
    assert finished.returncode == 2
    assert "usage" in finished.stderr

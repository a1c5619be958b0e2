"""A poisoned release: a package that was taken over, with a `.pth` that Python runs at every start."""

import base64
import hashlib
import os
import re
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
RUN_BY_ITSELF = (".pth", "sitecustomize.py", "usercustomize.py")
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")
DEPENDENCIES = ROOT / "layers/dependencies/Makefile"
POISON = "import os; os.environ['POISONED'] = '1'\n"


def pins(lock: Path) -> list[str]:
    """Each with its hashes, on one line."""
    text = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def unhashed(lock: Path) -> list[str]:
    return [pin for pin in pins(lock) if not re.match(r"[A-Za-z0-9._-]+==", pin) or not HASH.search(pin)]


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A wheel like any other, and one line in a `.pth` beside it."""
    wheel = tmp_path / "wheels/honest-1.0.1-py3-none-any.whl"
    wheel.parent.mkdir()
    files = {
        "honest/__init__.py": "",
        "honest_init.pth": POISON,
        "honest-1.0.1.dist-info/METADATA": "Metadata-Version: 2.1\nName: honest\nVersion: 1.0.1\n",
        "honest-1.0.1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},{_recorded(text)},{len(text)}\n" for name, text in files.items())
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in files.items() | {("honest-1.0.1.dist-info/RECORD", record + "honest-1.0.1.dist-info/RECORD,,\n")}:
            archive.writestr(name, text)
    return wheel


def _recorded(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def install(release: Path, lock: str, into: Path) -> subprocess.CompletedProcess[str]:
    """By the flags with which the layer of our dependencies is built; nothing but that release is to be had."""
    flags = ["--only-binary", ":all:", "--require-hashes"]
    assert " ".join(flags) in DEPENDENCIES.read_text(encoding="utf-8")
    requirements = into.with_suffix(".txt")
    requirements.write_text(lock, encoding="utf-8")
    uv: list[str | Path] = [ROOT / ".venv-uv/bin/uv", "--quiet", "--no-config", "--no-cache", "pip", "install"]
    where: list[str | Path] = ["--offline", "--no-index", "--find-links", release.parent, "--target", into / "python"]
    command = [*uv, *where, *flags, "--python", ROOT / ".venv/bin/python", "--requirement", requirements]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={"PATH": os.environ["PATH"]})


def finish(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "infra/build/finish", folder], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_poisoned_release_under_a_version_that_was_locked_without_its_hash(lock: Path) -> None:
    assert len(pins(lock)) > 0
    assert unhashed(lock) == []


def test_a_lock_without_hashes_is_found(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(f"# of ours\nfine==1.0 \\\n    --hash=sha256:{'0' * 64}\n    # via x\nhonest==1.0.1\nloose>=2 --hash=x\n")
    assert unhashed(lock) == ["honest==1.0.1", "loose>=2 --hash=x"]


@pytest.mark.parametrize("lock", ["honest==1.0.1", f"honest==1.0.1 --hash=sha256:{'0' * 64}"], ids=["no hash", "other hash"])
def test_a_poisoned_release_that_is_not_the_one_that_was_locked(release: Path, tmp_path: Path, lock: str) -> None:
    refused = install(release, lock, tmp_path / "layer")
    assert refused.returncode != 0
    assert "hash" in refused.stderr.lower()
    assert not list(tmp_path.rglob("*.pth"))


def test_a_poisoned_release_with_a_pth_that_was_locked_in_good_faith(release: Path, tmp_path: Path) -> None:
    layer, digest = tmp_path / "layer", hashlib.sha256(release.read_bytes()).hexdigest()
    installed = install(release, f"honest==1.0.1 --hash=sha256:{digest}", layer)
    assert installed.returncode == 0, installed.stderr
    assert (layer / "python/honest_init.pth").read_text() == POISON, "the hash is right, so nothing has stopped it so far"
    refused = finish(layer)
    assert (refused.returncode, "honest_init.pth" in refused.stderr) == (1, True)
    (layer / "python/honest_init.pth").unlink()
    assert finish(layer).returncode == 0


@pytest.mark.parametrize("layer", ["navplane", "runtime"])
def test_a_built_layer_of_ours_has_nothing_that_runs_by_itself(layer: str, tmp_path: Path) -> None:
    name = {"navplane": "NavplaneLayer", "runtime": "RuntimeLayer"}[layer]
    # Of an architecture whose byte code is not made here: what is shipped is the same.
    command: list[str | Path] = [
        "make",
        "--silent",
        "--directory",
        ROOT / "layers" / layer,
        f"build-{name}",
        f"ARTIFACTS_DIR={tmp_path}",
    ]
    built = subprocess.run([*command, "ARCH=arm64"], capture_output=True, text=True, timeout=120, check=False)
    assert built.returncode == 0, built.stderr
    shipped = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert len(shipped) > 3
    assert [name for name in shipped if name.endswith(RUN_BY_ITSELF)] == []


def test_every_layer_is_built_through_the_check() -> None:
    makefiles = [ROOT / "layers" / name / "Makefile" for name in ("dependencies", "navplane", "runtime")]
    assert [path.parent.name for path in makefiles if "infra/build/finish" not in path.read_text(encoding="utf-8")] == []

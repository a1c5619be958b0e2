"""The documentation holds together: links lead somewhere, and every decision is in the index."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LINK = re.compile(r"\[[^\]]+\]\((?!https?:)([^)#\s]+)(?:#[^)]*)?\)")
VARIABLE = re.compile(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"')


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    assert [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()] == []


def test_every_decision_is_in_the_index_under_its_title() -> None:
    folder = ROOT / "docs" / "adr"
    titles = {page.name: page.read_text().partition("\n")[0].lstrip("# ") for page in folder.glob("0*.md")}
    listed = re.findall(r"\| (\d+) \| \[(.+)\]\((.+\.md)\) \|", (folder / "README.md").read_text())
    assert {file: f"{number}. {title}" for number, title, file in listed} == titles


def test_every_variable_that_settings_read_is_described() -> None:
    described = (ROOT / "docs" / "reference" / "environment.md").read_text()
    sources = [*ROOT.glob("layers/navplane/python/navplane/config/[!_]*.py"), ROOT / "infra/cli/navplane_cli/serve_settings.py"]
    read = {name for source in sources for name in VARIABLE.findall(source.read_text())}
    assert len(read) > 20
    assert {name for name in read if name not in described} == set()

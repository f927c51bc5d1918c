"""The pages that people read, and what is in their fenced blocks."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """One page: README.md, or one below docs/."""

    path: Path

    @property
    def name(self):
        return str(self.path.relative_to(ROOT))

    @property
    def text(self):
        return self.path.read_text(encoding="utf-8")

    @property
    def prose(self):
        """The text without fenced blocks."""
        return _BLOCK.sub("", self.text)

    def blocks(self, language):
        """Blocks fenced as `language`; "" for blocks that do not say what they are."""
        return [body for kind, body in _BLOCK.findall(self.text) if kind == language]


PAGES = [Page(ROOT / "README.md"), *map(Page, sorted((ROOT / "docs").rglob("*.md")))]


def pytest_generate_tests(metafunc):
    if "page" in metafunc.fixturenames:
        metafunc.parametrize("page", PAGES, ids=lambda page: page.name)


@pytest.fixture(scope="session")
def pages():
    """Every page by its name."""
    return {page.name: page for page in PAGES}


@pytest.fixture(scope="session")
def repository():
    return ROOT

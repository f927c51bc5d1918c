"""Links lead somewhere, and README.md leads to every page."""

import re

from taskroute.pipeline.inspection.config_reference import anchor

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def headings(text):
    return {anchor(line.lstrip("#").strip()) for line in text.splitlines() if line.startswith("#")}


def test_every_link_leads_to_a_file_and_a_heading(page, repository):
    for link in _LINK.findall(page.prose):
        if "://" in link:
            continue
        file, _, heading = link.partition("#")
        target = (page.path.parent / file).resolve() if file else page.path
        assert target.is_relative_to(repository), link
        assert target.exists(), link
        if heading:
            assert heading in headings(target.read_text(encoding="utf-8")), link


def test_the_readme_leads_to_every_page(pages):
    linked = {link.partition("#")[0] for link in _LINK.findall(pages["README.md"].text)}
    for name in pages:
        if name != "README.md" and not name.startswith("docs/decisions/"):
            assert name in linked, f"name {name} in the index of README.md"


def test_every_figure_is_told_in_words(page):
    for text, file in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.text):
        assert len(text) > 10, file

"""Links of the documentation: each leads to a file and, if it names one, a heading; each claim of the README to its proof."""

import re
from urllib.parse import unquote

import pytest
from pack.tools.environment import ROOT

pytestmark = pytest.mark.tool

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *(ROOT / "web" / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]+)\)")
FENCE = re.compile(r"```.*?```", re.DOTALL)
HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)
CLAIMS, PROOF = "## What is guaranteed, and what holds it\n", re.compile(r"\]\((tests/|docs/|#)[^)]+\)")


def anchors(text: str) -> set[str]:
    """What the headings of a page are called in links, as GitHub makes it; a heading that stands twice gets a number."""
    found: list[str] = []
    for heading in HEADING.findall(FENCE.sub("", text)):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)|[`*]", r"\1", heading.strip())
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        again = sum(re.fullmatch(rf"{re.escape(name)}(-\d+)?", one) is not None for one in found)
        found.append(f"{name}-{again}" if again else name)
    return set(found)


def broken(page, text: str) -> list[str]:
    """The links of a page that lead nowhere."""
    wrong = []
    for link in LINK.findall(FENCE.sub("", text)):
        path, _, anchor = unquote(link).partition("#")
        target = page.parent / path if path else page
        known = (
            anchors(text if target == page else target.read_text(encoding="utf-8"))
            if anchor and target.is_file()
            else ()
        )
        if not target.exists() or (anchor and anchor not in known):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    """File and heading."""
    assert broken(page, page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("link", ["README.md#nothing", "nowhere.md", "docs/models.md#no-such-heading", "#nor-this"])
def test_a_broken_link_is_seen(link):
    """The reader above, on what it is there to find."""
    assert broken(ROOT / "README.md", f"# A page\n\n[x]({link}) [y](#a-page) [z](docs/models.md#supported-files)") == [
        link
    ]


def test_the_first_screen():
    """One image, how to install, the two commands, before the first heading; then tasks; tables of nodes and files later."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first, *later = re.split(r"^## ", text, flags=re.MULTILINE)
    assert len(first.splitlines()) <= 25 and first.count("![") == 1
    assert "**Install**" in first and "python3 dev.py demo\npython3 dev.py test\n" in first
    titles = [part.splitlines()[0] for part in later]
    assert titles[0] == "What to do with it"
    assert titles.index("The nodes") > 2 and titles.index("Supported files") > titles.index("The nodes")


def test_each_claim_names_what_holds_it():
    """Every guarantee of the README links to a test, a measurement or a section that does."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = text.partition(CLAIMS)[2].partition("\n\nThe tests print")[0]
    claims = re.split(r"^- ", listed, flags=re.MULTILINE)[1:]
    assert len(claims) >= 10
    assert [claim for claim in claims if not PROOF.search(claim)] == []

"""Links between the pages, and the functions that docs/architecture.md names."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
LINK = re.compile(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)")
HOP = re.compile(r"`([\w.]+):([\w.]+)`")


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.S | re.M)
    headings = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings_that_exist(page: Path) -> None:
    broken = []
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        path = (page.parent / target).resolve() if target else page
        if target.startswith(("https://", "../../commit/")):
            continue
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(f"{target}#{anchor}")
    assert not broken


def test_every_page_is_reached_from_the_readme() -> None:
    seen, queue = set(), [ROOT / "README.md"]
    while queue:
        page = queue.pop()
        if page not in seen:
            seen.add(page)
            targets = LINK.findall(page.read_text(encoding="utf-8"))
            queue += [(page.parent / target).resolve() for target, _ in targets if target.endswith(".md")]
    assert set(PAGES) <= seen


def hops() -> Iterator[list[tuple[str, str]]]:
    """Each row of the table of calls, as (module, function) in order of the calls."""
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    table = text.partition("| to | calls")[2].partition("\n\n")[0]
    yield from ([*HOP.findall(line)] for line in table.splitlines()[2:])


def definition(module: str, name: str) -> ast.AST | None:
    """The top-level definition of a function, class, method or variable; None if there is none."""
    base = ROOT if module.startswith("flows") else ROOT / "src"
    node: ast.AST = ast.parse((base / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
    for part in name.split("."):
        found = [each for each in ast.iter_child_nodes(node) if part in names(each)]
        if not found:
            return None
        node = found[0]
    return node


def names(node: ast.AST) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    return {node.target.id} if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else set()


def test_every_call_from_run_to_the_gate_is_in_the_code_as_the_page_says() -> None:
    rows = list(hops())
    assert len(rows) == 6
    for row in rows:
        assert len(row) >= 4
        found = [definition(*hop) for hop in row]
        assert all(found), [hop for hop, node in zip(row, found, strict=True) if node is None]
        for caller, (module, name) in zip(found[:-1], row[1:], strict=True):
            used = {getattr(each, "attr", getattr(each, "id", "")) for each in ast.walk(caller or ast.Module())}
            assert name.rpartition(".")[2] in used, f"{module}:{name} is not called where the page says"

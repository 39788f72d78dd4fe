"""The API pages: `make docs` as it is, without a warning, with a page for each package and module."""

import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

pytest.importorskip("pdoc", reason="pdoc is not installed: make docs installs it")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[3]
MODULES = sorted(
    path.relative_to(base).with_suffix("")
    for base, package in ((ROOT / "src", "ddpm"), (ROOT, "flows"))
    for path in (base / package).rglob("*.py")
    if path.stem != "__main__"
)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api") / "docs"
    command = [sys.executable, str(ROOT / "scripts/api_docs.py"), str(folder)]
    done = subprocess.run(command, cwd=folder.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert {path.name for path in folder.parent.iterdir()} == {"docs"}, "files beside the pages"
    return folder


def page(module: Path) -> str:
    return f"{(module.parent if module.name == '__init__' else module).as_posix()}.html"


def test_every_package_and_module_has_a_page_that_the_index_links(pages: Path) -> None:
    expected = {page(module) for module in MODULES}
    packages = {page(module) for module in MODULES if module.name == "__init__"}
    assert len(packages) > 20
    assert {path.relative_to(pages).as_posix() for path in pages.rglob("*.html")} == expected | {"index.html"}
    assert set(re.findall(r'href="([\w/]+\.html)"', (pages / "index.html").read_text())) >= expected


def test_links_between_the_pages_lead_to_pages_and_nothing_is_loaded_from_elsewhere(pages: Path) -> None:
    broken, outside = set(), set()
    for path in pages.rglob("*.html"):
        text = re.sub(r"<script>.*?</script>", "", path.read_text(), flags=re.S)
        links = {each for each in re.findall(r'href="([^"#]+)', text) if not each.startswith(("http", "data:"))}
        broken |= {f"{path.name} -> {each}" for each in links if not (path.parent / unescape(each)).exists()}
        outside |= set(re.findall(r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)', text))
    assert not broken
    assert not outside


def test_formulas_are_shown_as_written(pages: Path) -> None:
    denoiser = unescape((pages / "ddpm/diffusion/denoiser.html").read_text())
    assert "<code>D(y, sigma) = skip * y + out * F(in * y, time(sigma))</code>" in denoiser
    for path in pages.rglob("*.html"):
        for docstring in re.findall(r'<div class="docstring">(.*?)</div>', path.read_text(), re.S):
            assert not re.search(r"<(em|strong|h\d|table|img)\b", docstring), (
                f"{path.name} reads Markdown in {docstring}"
            )


def test_a_folder_of_something_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    command = [sys.executable, str(ROOT / "scripts/api_docs.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not replaced" in done.stderr
    assert (tmp_path / "mine.txt").exists()

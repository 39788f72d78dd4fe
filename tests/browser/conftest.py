"""A Chromium for each file of tests; skipped in words where there is none."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.browser import chromium
from tests.browser.chromium import Tab


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    if chromium.program() is None:
        pytest.skip(
            "there is no Chromium here: on Debian and Ubuntu, apt-get install chromium; or name one in CHROMIUM"
        )
    with chromium.tab(tmp_path_factory.mktemp("chromium") / "profile") as found:
        yield found


@pytest.fixture(autouse=True)
def quiet(tab: Tab) -> None:
    """Each test hears its own requests and complaints."""
    tab.requests.clear()
    tab.complaints.clear()


@pytest.fixture
def keep(tab: Tab, tmp_path: Path) -> Callable[[str], None]:
    """A function that takes a screenshot; DDPM_SCREENSHOTS names a folder to keep them in."""
    folder = Path(os.environ.get("DDPM_SCREENSHOTS") or tmp_path)

    def shoot(name: str) -> None:
        assert tab.picture(folder / f"{name}.png").stat().st_size > 2000

    return shoot

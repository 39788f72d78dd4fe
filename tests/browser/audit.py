"""Look at the page as an accessibility check does."""

from pathlib import Path

from tests.browser.chromium import Tab

SCRIPT = Path(__file__).with_name("audit.js")
RIGHT = {
    "faint": [], "jumps": [], "tops": 1, "wordless": 0, "broken": 0, "nameless": [], "twice": [], "language": "en",
    "wide": 0, "complaints": [],
}  # fmt: skip


def audit(tab: Tab) -> int:
    """Nothing is wrong with the page as it is shown now; the number of its texts."""
    found = tab.evaluate(SCRIPT.read_text()) | {"complaints": tab.complaints}
    wrong = {name: found[name] for name, right in RIGHT.items() if found[name] != right}
    assert not wrong, wrong
    texts: int = found["texts"]
    assert texts > 0
    return texts

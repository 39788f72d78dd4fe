"""A page of a real browser, and the accessibility check of what it shows."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, Page

CONTRAST = {
    "ignoreUnicode": False, "ignoreLength": True, "ignorePseudo": False, "boldValue": 700, "boldTextPt": 14,
    "largeTextPt": 18, "contrastRatio": {"normal": {"expected": 4.5}, "large": {"expected": 3}},
    "pseudoSizeThreshold": 0.25, "shadowOutlineEmMax": 0.2, "textStrokeEmMin": 0.03,
}  # fmt: skip
"""The defaults of axe's rule, applied to arrows and single characters too, which axe by default leaves undecided."""
CONFIGURATION = {"checks": [{"id": "color-contrast", "options": CONTRAST}]}
AXE = Axe(f"{AXE_SCRIPT};axe.configure({json.dumps(CONFIGURATION)})")
OWN_RULES = """\
() => {
  const images = [...document.images];
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  const root = document.documentElement;
  return {
    "one h1": document.querySelectorAll("h1").length === 1,
    "words for every image": images.every((each) => each.alt.trim()),
    "every image loads": images.every((each) => each.naturalWidth),
    "a name for all that has the focus": [...document.querySelectorAll("[tabindex]")].every(
      (each) => each.textContent.trim() || each.getAttribute("aria-label")),
    "ids differ": new Set(ids).size === ids.length,
    "in English": root.lang === "en",
    "no sideways scrolling": root.scrollWidth <= root.clientWidth,
  };
}"""
"""What holds for our pages beyond axe's rules; those allow images without words, for instance, as decoration."""


@dataclass
class Tab:
    """`requests`: every address that was asked for; `complaints`: errors and warnings of console and network."""

    page: Page
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning", "assert"}:
            self.complaints.append(message.text)

    def unfold(self) -> None:
        """Open everything that is folded."""
        self.page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true })")

    def problems(self) -> dict[str, Any]:
        """Violations of axe's rules, each with its elements, and of our own; contrast must be certain."""
        found = AXE.run(self.page, options={"resultTypes": ["violations", "incomplete"]}).response
        unsure = [each for each in found["incomplete"] if each["id"] == "color-contrast"]
        wrong = {each["id"]: [node["html"] for node in each["nodes"]] for each in (*found["violations"], *unsure)}
        wrong |= {name: False for name, holds in self.page.evaluate(OWN_RULES).items() if not holds}
        return wrong | ({"complaints": self.complaints} if self.complaints else {})

    def audit(self) -> int:
        """Assert that the page as it is shown now has no problems; the length of its visible text."""
        problems = self.problems()
        assert not problems, problems
        length = len(self.page.inner_text("body"))
        assert length > 0
        return length

    def read(self, address: str, folded: Callable[[], None] = lambda: None) -> None:
        """Open a page, unfold it, and assert that it has no problems and requests nothing. folded: called before."""
        self.page.goto(address)
        closed = self.audit()
        folded()
        self.unfold()
        assert self.audit() > closed
        assert [each for each in self.requests if not each.startswith("data:")] == [address]

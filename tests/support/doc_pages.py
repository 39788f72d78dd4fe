"""Commands, Python snippets and parameters in README.md and docs/."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = ("ddpm", "dvc", "make", "git", "python", "pip", "mlflow", "prefect", "torchrun", "docker", "curl")


@dataclass(frozen=True)
class Snippet:
    """A command of one line, or a whole block of Python or YAML; line: where it begins on its page."""

    page: str
    line: int
    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def snippets() -> list[Snippet]:
    """All blocks of all pages, in their order."""
    return [each for page in PAGES for line, kind, text in _blocks(page) for each in _parts(page, line, kind, text)]


def named() -> dict[str, str]:
    """Commands between backticks in the text, and where each stands first."""
    found: dict[str, str] = {}
    for page in PAGES:
        for number, line in enumerate(page.read_text().splitlines(), 1):
            for text in re.findall(r"`([^`]+)`", line):
                if text.split()[0] in PROGRAMS and len(text.split()) > 1:
                    found.setdefault(text, f"{page.name}:{number}")
    return found


def _blocks(page: Path) -> list[tuple[int, str, str]]:
    """(line, language, text) of fenced blocks, and of indented ones that stand after an empty line or a heading."""
    lines, found, at = page.read_text().splitlines(), [], 0
    while at < len(lines):
        if lines[at].startswith("```"):
            end = lines.index("```", at + 1)
            found.append((at + 2, lines[at].removeprefix("```"), "\n".join(lines[at + 1 : end])))
            at = end + 1
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1] or lines[at - 1].startswith("#")):
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end]):
                end += 1
            text = "\n".join(line.removeprefix("    ") for line in lines[at:end]).rstrip()
            found.append((at + 1, "yaml" if re.match(r"\w+:\n", text) else "shell", text))
            at = end
        else:
            at += 1
    return found


def _parts(page: Path, line: int, kind: str, text: str) -> list[Snippet]:
    if kind != "shell":
        return [Snippet(page.name, line, kind, text)]
    found, before = [], ""
    for offset, each in enumerate(text.splitlines()):
        whole = before + re.sub(r"\s+# .*$", "", each).strip()
        before = whole.removesuffix("\\") if whole.endswith("\\") else ""
        if whole and not before:
            found.append(Snippet(page.name, line + offset, "shell", whole))
    return found

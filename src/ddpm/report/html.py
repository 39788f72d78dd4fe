"""Rendering of self-contained HTML pages: style included, nothing loaded."""

from importlib import resources
from typing import Any

from ddpm.common.terminal import field


def fill(template: str, **values: Any) -> str:
    """Render a template of this package; values are escaped, control characters and secrets included."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_fit
    )
    here = resources.files("ddpm.report")
    source, style = (here.joinpath(name).read_text(encoding="utf-8") for name in (template, "style.css"))
    return environment.from_string(source).render(style=style, **values)


def _fit(value: Any) -> Any:
    """Escape a value for a template; images and markup pass."""
    if not isinstance(value, str) or hasattr(value, "__html__") or value.startswith("data:image/"):
        return value
    return field(value, longest=len(value))

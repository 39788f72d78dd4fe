"""Write docs/samplers.md from the table of samplers and their options: `python scripts/samplers_page.py FILE`."""

import argparse
import math
from pathlib import Path

from ddpm.common import files
from ddpm.diffusion.samplers.table import ALWAYS, NEVER, SAMPLERS, Sampler
from ddpm.sampling.options import LARGEST_SHOWN, OPTIONS, Option, default, used

INTRODUCTION = """\
# Samplers

Written by `make docs` from `SAMPLERS` in
[src/ddpm/diffusion/samplers/table.py](../src/ddpm/diffusion/samplers/table.py) and `Sampling` in
[src/ddpm/sampling/options.py](../src/ddpm/sampling/options.py). Do not edit this page.

Each option is a key of section `sample` in [params.yaml](../params.yaml), where some have another default, and of
`ddpm sample --help` (`churn_min` is `--churn-min`). An option that the chosen sampler does not use is refused. The
equation of each step is in [diffusion.md](diffusion.md#samplers), measured quality in
[results.md](results.md#samplers-steps-and-guidance).
"""
NOTES = """\
- **Order** of convergence in the number of steps; for samplers that always add noise, that of the images' distribution.
- **Evaluations** of the denoiser per step and image. With guidance each costs two evaluations of the network, except
  outside `guidance_interval`. The last step of `heun` needs one. `ode` adapts its steps to `tolerance`.
- A **deterministic** sampler gives one image per start noise. The image also depends on the seed where noise is added.
"""


def page() -> str:
    """Make the page."""
    samplers = table(
        ("sampler", "paper", "order", "evaluations per step", "deterministic", "options"),
        [
            (f"`{name}`", row.source, order(row), evaluations(name, row), deterministic(row), options(name))
            for name, row in SAMPLERS.items()
        ],
    )
    every = table(
        ("option", "default", "values", "samplers", "meaning"),
        [(f"`{name}`", shown(default(name)), values(row), users(row), meaning(row)) for name, row in OPTIONS.items()],
    )
    return f"{INTRODUCTION}\n{samplers}\n{NOTES}\n## Options\n\n{every}"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def order(row: Sampler) -> str:
    """Order of convergence."""
    if row.order is None:
        return ""
    return f"{row.order} in distribution" if row.noise == ALWAYS else f"{row.order}"


def evaluations(name: str, row: Sampler) -> str:
    """Evaluations of the denoiser per step."""
    if row.evaluations is None:
        return "adaptive"
    return f"{row.evaluations}" + " + `corrections`" * ("corrections" in used(name))


def deterministic(row: Sampler) -> str:
    """Describe when the sampler adds no noise."""
    return {ALWAYS: "no", NEVER: "yes"}.get(row.noise, f"with `{row.noise}` 0")


def options(name: str) -> str:
    """The options that only some samplers use, and this one does."""
    return ", ".join(f"`{each}`" for each in used(name))


def shown(value: object) -> str:
    """A value as params.yaml writes it."""
    written = {None: "null", True: "true", False: "false"}
    return f"`{written[value] if value is None or isinstance(value, bool) else value}`"


def values(row: Option) -> str:
    """Choices or range."""
    if row.choices:
        return ", ".join(f"`{each}`" for each in row.choices)
    if row.least is None:
        return ""
    bounded = row.most < LARGEST_SHOWN and not math.isinf(row.most)
    return f"{row.least:g} to {row.most:g}" if bounded else f"from {row.least:g}"


def users(row: Option) -> str:
    """The samplers that use the option."""
    if row.guided:
        return "all, with guidance"
    return ", ".join(f"`{each}`" for each in row.samplers) or "all"


def meaning(row: Option) -> str:
    """Description, with the meaning of null."""
    return row.text + (f"; null: {row.none}" if row.none else "")


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", metavar="FILE", type=Path)
    files.write_text(parser.parse_args().file, page())


if __name__ == "__main__":
    main()

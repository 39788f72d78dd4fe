"""Proposal of parameters that suit a set of images, with reasons."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ddpm.cli.edit import yaml_value
from ddpm.common import faults, terminal, units
from ddpm.config import changes as config_changes
from ddpm.config import render
from ddpm.config.params import Params
from ddpm.config.sections.pipeline import RELATIVE_LIMITS
from ddpm.config.sections.prepare import Images, Series
from ddpm.data.prepare import SMALLEST_SET
from ddpm.data.survey import Survey

RESOLUTIONS = (8, 16, 28, 32, 64)
MAX_RESOLUTION = RESOLUTIONS[-1]
IMAGE_DEVIATION = 0.5
DEEPEST_SIDE = 8
"""Approximate side of the deepest U-Net level in published networks of every resolution."""


@dataclass(frozen=True)
class Change:
    """A key, its new value, and the reason."""

    key: str
    value: Any
    why: str


def propose(found: Survey, now: Params, name: str) -> list[Change]:
    """List the changes of the current parameters `now` that suit the images `found` in a set called `name`."""
    proposed = [
        *switch_kind(now, Images()),
        *_of_images(found, now),
        *of_net(_resolution(found)[0], now),
        *_of_counts(found, now),
        *_of_gate(found, now, name),
    ]
    return changed(proposed, now)


def changed(proposed: list[Change], now: Params) -> list[Change]:
    """Keep the last proposal for each key, if it changes the current parameters, in the order of the file."""
    flat = {f"{section}.{key}": value for section, keys in now.model_dump().items() for key, value in keys.items()}
    last = {one.key: one for one in proposed}
    order = {section: place for place, section in enumerate(now.model_dump())}
    found = [one for one in last.values() if one.key not in flat or flat[one.key] != one.value]
    keys = [*flat, *(one.key for one in found)]
    return sorted(found, key=lambda one: (order[one.key.partition(".")[0]], keys.index(one.key)))


def switch_kind(now: Params, section: Images | Series) -> Iterator[Change]:
    """Propose another kind of section prepare, with all of its keys, and what was changed for the present kind."""
    if section.kind == now.prepare.kind:
        return
    for key, value in section.model_dump().items():
        yield Change(f"prepare.{key}", value, f"the data are {section.kind}" if key == "kind" else "default")
    if section.kind == "images":
        yield Change("sample.clamp", True, "images have a range")
        yield Change("diffusion.sigma_data", IMAGE_DEVIATION, "of images in [-1, 1]")
        yield Change("features.extractor", "auto", "kernels are for series")


def in_text(text: str, changes: Sequence[Change]) -> str:
    """Apply changes to the text of params.yaml; a section of another kind is written anew."""
    values = {change.key: change.value for change in changes}
    if kind := values.get("prepare.kind"):
        own = {key.partition(".")[2]: values.pop(key) for key in list(values) if key.startswith("prepare.")}
        section = (Series if kind == "series" else Images)(**own)
        text = render.with_section(text, "prepare", section)
    return config_changes.in_text(text, values)


def show(changes: Sequence[Change]) -> None:
    """Print changes as lines of params.yaml, by section."""
    section = ""
    for change in changes:
        head, _, key = change.key.partition(".")
        if head != section:
            section = head
            terminal.echo(f"  {section}:")
        terminal.echo(f"    {f'{key}: {yaml_value(change.value)}':<32}# {change.why}")


def cost(settings: Params, image: Mapping[str, Any]) -> str:
    """Estimate the duration of a training on this machine from a timed step.

    image: section `image` of the model's config. Of parameters that this machine does not support, the reason.
    """
    from ddpm.training import estimate

    try:
        found = estimate.measure(settings, image)
    except (ValueError, MemoryError, RuntimeError) as error:
        if not (reason := faults.exhausted(error) or (isinstance(error, ValueError) and str(error))):
            raise
        return f"note: no training with these parameters here: {reason}"
    images = settings.train.images
    return (
        f"training: about {units.duration(images / found.images_per_second)} on {found.device}, {images:,} images at "
        f"{units.rate(found.images_per_second)}; {settings.net.kind} of {units.count(found.parameters)} parameters"
    )


def unlabelled(found: Survey, now: Params) -> str:
    """Explain how images without classes are scored; empty if all have one or another extractor is set."""
    if (found.classes and not found.outside) or now.features.extractor not in ("auto", "classifier"):
        return ""
    return (
        "some images have no class, so scores use ImageNet features (without labels, features.extractor: auto is "
        "efficientnet-lite0). To score with a classifier of your classes, and to generate images of a chosen class, "
        "put the images of each class into its own folder"
    )


def _of_images(found: Survey, now: Params) -> Iterator[Change]:
    """Propose resolution, channels, labels and extractor."""
    resolution, why = _resolution(found)
    yield Change("prepare.resolution", resolution, why)
    yield Change("prepare.channels", 3 if found.colour else 1, "some are in colour" if found.colour else "all are grey")
    if 2 * found.invisible > found.transparent:
        other = 255 if found.background < 128 else 0
        yield Change("prepare.background", other, f"{found.invisible:,} images show nothing on {found.background}")
    if found.classes and not found.outside:
        yield Change("prepare.labels", "folders", "each folder is a class")
        return
    why = "some images are outside the class folders" if found.classes else "there are no class folders"
    yield Change("prepare.labels", "none", why)
    if now.features.extractor == "classifier":
        yield Change("features.extractor", "auto", "the classifier needs labels; see docs/data.md, `Without labels`")
    for key, off in (("guidance", 1.0), ("guidance_interval", None), ("guidance_rescale", 0.0)):
        yield Change(f"sample.{key}", off, "guidance needs labels")
    yield Change("promote.min_class_share", None, "there are no classes")


def _resolution(found: Survey) -> tuple[int, str]:
    """Return the side to train at, and the reason."""
    side = found.shorter_side
    if len(found.sizes) == 1 and side % 4 == 0 and RESOLUTIONS[0] <= side <= MAX_RESOLUTION:
        return side, "the size of all images"
    below = max((one for one in RESOLUTIONS if one <= side), default=RESOLUTIONS[0])
    why = f"half of the images have a shorter side of {side} or less"
    return below, f"{why}; a GPU can train at more" if side > MAX_RESOLUTION else why


def of_net(resolution: int, now: Params) -> Iterator[Change]:
    """Propose a network whose levels divide the resolution and, for a U-Net, whose deepest level is small enough."""
    net = now.net
    patch = 1 if net.kind == "unet" and resolution <= 2 * DEEPEST_SIDE else int(net.patch)
    while resolution % patch:
        patch //= 2
    yield Change("net.patch", patch, "suits the resolution")
    if net.kind == "plain":
        levels = net.levels
        while resolution % (patch * 2 ** (levels - 1)):
            levels -= 1
        yield Change("net.levels", levels, "the number of times that the resolution can be halved")
    elif net.kind == "unet":
        multipliers = _multipliers(resolution // patch, list(net.multipliers))
        sides = [resolution // patch // 2**level for level in range(len(multipliers))]
        yield Change("net.multipliers", tuple(multipliers), f"levels with sides {', '.join(map(str, sides))}")
        if any(side not in sides for side in net.attention):
            yield Change("net.attention", (sides[-1],), "the deepest level")


def _multipliers(side: int, multipliers: list[int]) -> list[int]:
    """Remove levels until the side can be halved as often, or add levels until the deepest is small enough."""
    while len(multipliers) > 1 and side % 2 ** (len(multipliers) - 1):
        multipliers.pop()
    while (deepest := side // 2 ** (len(multipliers) - 1)) > DEEPEST_SIDE and deepest % 2 == 0:
        multipliers.append(multipliers[-1])
    return multipliers


def _of_counts(found: Survey, now: Params) -> Iterator[Change]:
    """Propose enough held-out images, and a batch size."""
    wanted = 1.3 * SMALLEST_SET  # the share holds on average only
    if found.count * now.prepare.holdout < wanted:
        share = min(0.35, math.ceil(20 * wanted / found.count) / 20)  # training needs twice as many
        yield Change("prepare.holdout", share, f"evaluation needs {SMALLEST_SET} held-out images")
    if found.count < 4 * now.train.batch and now.train.accumulation == 1:
        yield Change("train.batch", max(1, found.count // 4), "there are few images")


def of_name(name: str, kind: str) -> Iterator[Change]:
    """Propose a registered model of its own. kind: of the data, and the name of a source without one."""
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or kind
    yield Change("promote.name", f"ddpm-{slug}"[:100], f"models of other {kind} do not compete with it")


def _of_gate(found: Survey, now: Params, name: str) -> Iterator[Change]:
    """Propose a separate registered model, without limits set for other images."""
    yield from of_name(name, "images")
    why = "the limit was for other images; set one after the first run"
    yield Change("promote.max_fid", None, why)
    yield Change("promote.min_inception_score", None, why)
    if all(getattr(now.promote, key) is None for key in RELATIVE_LIMITS):
        for key, limit in RELATIVE_LIMITS.items():
            yield Change(f"promote.{key}", limit, "relative to real images, so it suits any data")
    fair = 1 / max(len(found.classes), 1)
    if now.promote.min_class_share is not None and now.promote.min_class_share > fair / 2 and found.classes:
        yield Change("promote.min_class_share", round(fair / 5, 4), f"a fifth of a fair share of {len(found.classes)}")

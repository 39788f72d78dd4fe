"""The typed configuration of a model, read from and written to config.json."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from ddpm.diffusion import conditioning
from ddpm.domains import DOMAINS, IMAGES, Domain

VERSION = 2
DENOISING = "denoising"


@dataclass(frozen=True)
class ImageConfig:
    """The images of a model: `resolution` x `resolution` pixels, 1 or 3 channels, names of the classes.

    label_dropout: share of labels hidden in training; 0: the model cannot draw without a class. kind: a row of
    `domains.DOMAINS`.
    """

    resolution: int
    channels: int
    classes: tuple[str, ...]
    label_dropout: float
    kind: str = IMAGES

    def __post_init__(self) -> None:
        """Raise ValueError for an unknown kind."""
        if self.kind not in DOMAINS:
            raise ValueError(f"its image.kind is {self.kind!r}; possible: {', '.join(DOMAINS)}")

    @property
    def domain(self) -> Domain:
        """Shape and conversions of the examples."""
        return DOMAINS[self.kind](self.resolution, self.channels)


@dataclass(frozen=True)
class NetConfig:
    """The network: `kind`, a row of `build.NETS`, and its keyword arguments."""

    kind: str
    options: Mapping[str, Any]

    @property
    def patch(self) -> int:
        """Side of the pixel blocks that are folded into channels; 1: none."""
        return int(self.options.get("patch", 1))


@dataclass(frozen=True)
class DiffusionConfig:
    """The forward process and the prediction. options: all keys of the section, with the parameters of the process."""

    process: str
    steps: int
    prediction: str
    sigma_data: float
    condition: str
    learned_variance: bool
    options: Mapping[str, Any]

    @property
    def scale(self) -> int:
        """The factor by which the given images of a super-resolution model are smaller; 0 for any other model."""
        return conditioning.CONDITIONS[self.condition]


@dataclass(frozen=True)
class ModelConfig:
    """Image, network and diffusion of a model.

    digest: of the training; "" where unknown. objective: what it was trained for, `denoising` or `consistency`. source:
    as in config.json.
    """

    image: ImageConfig
    net: NetConfig
    diffusion: DiffusionConfig
    digest: str
    objective: str
    source: Mapping[str, Any] = field(repr=False)

    @classmethod
    def from_json(cls, source: Mapping[str, Any]) -> Self:
        """Read a config of this or an older version. Raises ValueError that names a missing or unknown entry."""
        upgraded = _upgraded(source)
        try:
            image, net, diffusion = (dict(upgraded[name]) for name in ("image", "net", "diffusion"))
            return cls(
                ImageConfig(
                    int(image["resolution"]),
                    int(image["channels"]),
                    tuple(image["classes"]),
                    float(image.get("label_dropout", 0.0)),
                    image.get("kind", IMAGES),
                ),
                NetConfig(net.pop("kind"), net),
                DiffusionConfig(
                    diffusion["process"],
                    int(diffusion["steps"]),
                    diffusion["prediction"],
                    float(diffusion["sigma_data"]),
                    diffusion.get("condition", "none"),
                    diffusion.get("variance") == "learned",
                    diffusion,
                ),
                str(upgraded.get("digest", "")),
                str(upgraded.get("objective", DENOISING)),
                upgraded,
            )
        except KeyError as error:
            raise ValueError(f"it has no entry {error.args[0]!r}") from error

    def as_json(self) -> dict[str, Any]:
        """The content of config.json."""
        return {"version": VERSION, **self.source}

    def require_denoiser(self, purpose: str) -> None:
        """Raise ValueError for a consistency model, whose output is an image of the flow, not the mean of all images.

        purpose: what needs a denoiser, as the start of the message.
        """
        if self.objective != DENOISING:
            raise ValueError(
                f"{purpose} needs a denoiser, and this is a {self.objective} model (train.objective): use its teacher, "
                "the model of train.initial"
            )

    def extended(self, **entries: Any) -> Self:
        """The same model with further entries at the top of its config.json."""
        return self.from_json({**self.source, **entries})


def _upgraded(source: Mapping[str, Any]) -> Mapping[str, Any]:
    """A config of the present version. Version 1 had one process, one network and no condition."""
    version = source.get("version", VERSION)
    if version == VERSION:
        return source
    if version != 1:
        raise ValueError(f"it has version {version!r}; this program reads versions 1 and {VERSION}")
    weighting = {"noise": "simple", "output": "output"}[source["diffusion"]["weighting"]]
    added = {"process": "ddpm", "variance": "fixed", "condition": "none", "weighting": weighting}
    net = {"kind": "unet", "middle_attention": True, "resample": "conv", "layout": "adm"} | source["net"]
    return {**source, "version": VERSION, "net": net, "diffusion": source["diffusion"] | added}

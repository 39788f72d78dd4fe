"""An extractor of one's own: layers declared in JSON from a closed table, weights in safetensors. No code is loaded.

    {
      "side": 32, "channels": 3, "mean": [0.49, 0.48, 0.45], "std": [0.25, 0.24, 0.26], "classes": false,
      "layers": [
        {"layer": "conv", "inputs": 3, "outputs": 64, "kernel": 3, "stride": 1, "padding": 1},
        {"layer": "norm", "channels": 64}, {"layer": "relu"}, {"layer": "pool", "side": 2}, {"layer": "mean"}
      ],
      "head": {"layer": "linear", "inputs": 64, "outputs": 10}
    }

Pixels reach the first layer as (value / 255 - mean) / std, one of each per channel; the last layer gives the features
and the head the logits. `classes`: whether these are about the data set's own classes, in their order. Layer i of
`layers` has its tensors under `layers.i.`, the head under `head.`, named as torch.nn names them.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ddpm.metrics.extractors import Advance, ExtractorError, Images, as_planes, in_batches, linear
from ddpm.metrics.resize import POLICIES, to_side


class Mean(nn.Module):
    """(B, C, H, W) to its mean over all places, (B, C)."""

    def forward(self, values: Tensor) -> Tensor:
        """Average."""
        return values.mean(dim=(2, 3))


LAYERS: dict[str, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {
    "conv": (nn.Conv2d, ("inputs", "outputs", "kernel", "stride", "padding")),
    "norm": (nn.BatchNorm2d, ("channels",)),
    "relu": (nn.ReLU, ()),
    "pool": (nn.MaxPool2d, ("side",)),
    "mean": (Mean, ()),
    "flatten": (nn.Flatten, ()),
    "linear": (nn.Linear, ("inputs", "outputs")),
}
"""What a declaration may name, and the whole numbers that it has to say of it."""
KEYS = ("side", "channels", "mean", "std", "classes", "layers", "head")


class OwnExtractor:
    """What a declaration and its tensors say; named by the hash of both."""

    name = "own"
    batch = 50

    def __init__(
        self, declared: Mapping[str, Any], tensors: Mapping[str, Tensor], resize: str, device: str = "cpu"
    ) -> None:
        """Raises ExtractorError that names the key, layer or tensor that is wrong."""
        _check(declared, resize)
        self.side, self.channels, self.resize, self.device = declared["side"], declared["channels"], resize, device
        self.network = nn.ModuleDict(
            {"layers": nn.Sequential(*map(_layer, declared["layers"])), "head": _layer(declared["head"])}
        )
        try:
            self.network.load_state_dict(dict(tensors))
            self.network.to(device).eval()
            with torch.inference_mode():
                probe = self.network["layers"](torch.zeros(1, self.channels, self.side, self.side, device=device))
                self.network["head"](probe)
        except RuntimeError as error:
            raise ExtractorError(f"the declared layers and their tensors do not fit together: {error}") from error
        if probe.ndim != 2 or declared["head"]["layer"] != "linear":
            raise ExtractorError("the layers have to end in one vector per image (mean or flatten), the head is linear")
        self.mean, self.std = (torch.tensor(declared[key]).view(-1, 1, 1) for key in ("mean", "std"))
        self.dimension = probe.shape[1]
        self.classes = declared["head"]["outputs"] if declared["classes"] else 0
        self.sha256 = _sha256(declared, tensors)

    def __call__(self, images: Images, advance: Advance = lambda count: None) -> NDArray[np.float32]:
        """Images uint8, of any sizes, to features (N, D)."""
        return in_batches(images, self.batch, self.dimension, self._prepared, self._features, advance)

    def logits(self, features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Features (N, D) to logits (N, K)."""
        head: Any = self.network["head"]
        return linear(features, head.weight, head.bias)

    def _prepared(self, images: NDArray[np.uint8]) -> Tensor:
        if images.shape[3] != self.channels and images.shape[3] != 1:
            raise ValueError(f"the extractor takes {self.channels} channel(s), the images have {images.shape[3]}")
        values = to_side(as_planes(images), self.side, self.resize).expand(-1, self.channels, -1, -1)
        return (values / 255 - self.mean) / self.std

    def _features(self, images: Tensor) -> Tensor:
        features: Tensor = self.network["layers"](images.to(self.device))
        return features


def _check(declared: Mapping[str, Any], resize: str) -> None:
    """Exactly the keys, and numbers for all channels. Raises ExtractorError."""
    if set(declared) != set(KEYS):
        raise ExtractorError(f"the declaration has the keys {sorted(declared)}; needed: {sorted(KEYS)}")
    if resize not in POLICIES:
        raise ExtractorError(f"resize = {resize!r} is no policy; possible: {', '.join(POLICIES)}")
    lengths = len(declared["mean"]), len(declared["std"])
    if declared["channels"] not in (1, 3) or lengths != (declared["channels"],) * 2 or min(declared["std"]) <= 0:
        raise ExtractorError("channels has to be 1 or 3, with a mean and a std above 0 for each of them")


def _layer(said: Mapping[str, Any]) -> nn.Module:
    """One layer of the table. Raises ExtractorError."""
    kind = said.get("layer")
    if kind not in LAYERS:
        raise ExtractorError(f"layer {kind!r} is none of {', '.join(LAYERS)}")
    make, names = LAYERS[kind]
    numbers = {key: value for key, value in said.items() if key != "layer"}
    if set(numbers) != set(names) or not all(type(number) is int and number >= 0 for number in numbers.values()):
        raise ExtractorError(f"layer {kind} has {numbers}; needed: {', '.join(names) or 'nothing'}, as whole numbers")
    return make(*(numbers[name] for name in names))


def _sha256(declared: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over the declaration in canonical form and every tensor by name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(declared, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()

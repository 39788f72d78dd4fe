"""The same calls for sharded tensors (DTensor) and ordinary tensors."""

import sys
from collections.abc import Mapping
from typing import Any

import torch


def full_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A sharded tensor gathered on every rank (all ranks must call this); any other tensor unchanged."""
    full: torch.Tensor = tensor.full_tensor() if isinstance(tensor, _sharded()) else tensor
    return full


def gather_to_host(tensors: Mapping[str, torch.Tensor], *, keep: bool) -> dict[str, torch.Tensor]:
    """Gather tensors one at a time; return contiguous copies on the CPU. All ranks must call this.

    keep: False on ranks that only contribute their shards; they get an empty dict and never hold more than one tensor.
    """
    copies = {}
    for name, tensor in tensors.items():
        full = full_tensor(tensor)
        if keep:
            copies[name] = full.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    return copies


def local_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """This rank's shard of a sharded tensor, sharing its memory; any other tensor unchanged."""
    part: torch.Tensor = tensor.to_local() if isinstance(tensor, _sharded()) else tensor
    return part


def distribute_like(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Place the full tensor `value` like `like`: on its device, in its memory format, with its sharding."""
    if not isinstance(like, _sharded()):
        return torch.empty_like(like).copy_(value)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _sharded() -> tuple[Any, ...]:
    """The DTensor type if its module is imported already; else empty, because it takes a second to import."""
    module = sys.modules.get("torch.distributed.tensor")
    return (module.DTensor,) if module else ()

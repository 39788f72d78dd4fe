"""Tensors that several processes divide among them (DTensor), and any other, by the same calls."""

import sys
from typing import Any

import torch


def full_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that processes divide among them, gathered (all of them must ask for it); any other as it is."""
    full: torch.Tensor = tensor.full_tensor() if isinstance(tensor, _divided()) else tensor
    return full


def local_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """This process's part of a tensor that processes divide among them, sharing its memory; any other as it is."""
    part: torch.Tensor = tensor.to_local() if isinstance(tensor, _divided()) else tensor
    return part


def distribute_like(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`value`, which is whole, as `like` lies: on its device, in its memory format, divided as it is."""
    if not isinstance(like, _divided()):
        return torch.empty_like(like).copy_(value)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _divided() -> tuple[Any, ...]:
    """The DTensor type, imported when needed, since its module takes a second to import."""
    module = sys.modules.get("torch.distributed.tensor")
    return (module.DTensor,) if module else ()

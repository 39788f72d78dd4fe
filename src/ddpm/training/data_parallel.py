"""One training shared by several processes: each takes its part of the same batch, and all take the same step.

`ALONE` is what a single process uses: nothing is communicated, nothing is wrapped. `Replicas` is DDP: every process
holds the whole model. `Shards` is FSDP: the processes divide weights, average and optimiser among them.
"""

import contextlib
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ddpm.diffusion.denoiser import Denoiser

Loss = Callable[..., Tensor]


class PeerLostError(ValueError):
    """Another process of this training has ended, so this one cannot go on."""


class Team:
    """The processes of one training, seen from number `rank` of `count`. This one is alone."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def leads(self) -> bool:
        """Whether this process writes what the training leaves."""
        return self.rank == 0

    def loss(self, denoiser: Denoiser) -> Loss:
        """`denoiser.loss`, of which the gradients are those of the whole batch."""
        return denoiser.loss

    def gathers(self, last: bool) -> contextlib.AbstractContextManager[object]:
        """Around a micro-batch: only the `last` of a step exchanges gradients."""
        return contextlib.nullcontext()

    def dropout_key(self) -> tuple[int, ...]:
        """What dropout depends on beside seed and step: no two processes drop the same places."""
        return () if self.count == 1 else (self.rank,)

    def mean(self, value: float) -> float:
        """Of a number in each process, the same in all; not finite if one is not."""
        return value if self.count == 1 else _reduced(value, torch.float64, distributed.ReduceOp.SUM) / self.count

    def largest(self, value: int) -> int:
        """Of a number in each process, the same in all."""
        return value if self.count == 1 else int(_reduced(value, torch.int64, distributed.ReduceOp.MAX))

    def joined(self, values: Tensor) -> Tensor:
        """Those of all processes, along the first axis, on the CPU."""
        if self.count == 1:
            return values
        mine = values.detach().cpu().contiguous()
        every = [torch.empty_like(mine) for _ in range(self.count)]
        distributed.all_gather(every, mine)
        return torch.cat(every)

    def wait(self) -> None:
        """Until all processes are here."""
        self.largest(0)


ALONE = Team()


class _Objective(nn.Module):
    """The loss as a module of its own: DDP watches what goes through `forward`."""

    def __init__(self, denoiser: Denoiser) -> None:
        super().__init__()
        self.denoiser = denoiser

    def forward(self, *inputs: Any) -> Tensor:
        return self.denoiser.loss(*inputs)


class Replicas(Team):
    """Every process holds the whole model; gradients are averaged while they are computed (DDP)."""

    def __init__(self, rank: int, count: int, denoiser: Denoiser) -> None:
        super().__init__(rank, count)
        self.replica = DistributedDataParallel(
            _Objective(denoiser), forward_sync_buffers=False, gradient_as_bucket_view=True
        )

    def loss(self, denoiser: Denoiser) -> Loss:
        """See Team."""
        return self.replica

    def gathers(self, last: bool) -> contextlib.AbstractContextManager[object]:
        """See Team."""
        return contextlib.nullcontext() if last else self.replica.no_sync()


class Shards(Team):
    """The processes divide the model; `shard` is to be called before its optimiser is made."""

    def __init__(self, rank: int, count: int, denoiser: Denoiser) -> None:
        super().__init__(rank, count)
        self.net = denoiser.net

    def gathers(self, last: bool) -> contextlib.AbstractContextManager[object]:
        """See Team."""
        self.net.set_requires_gradient_sync(last)  # type: ignore[operator]  # a method that fully_shard gave it
        return contextlib.nullcontext()


def shard(denoiser: Denoiser, units: Iterable[nn.Module], where: torch.device) -> None:
    """Divide the network among the processes, in place (FSDP2). units: modules gathered one at a time."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(where.type, (distributed.get_world_size(),))
    for unit in [*units, denoiser.net]:
        fully_shard(unit, mesh=mesh)
    denoiser.to(where)


@contextlib.contextmanager
def together() -> Any:
    """Turn the failure of a message between processes into words. Raises PeerLostError."""
    try:
        yield
    except RuntimeError as error:
        if distributed.is_initialized() and (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise PeerLostError(
                f"process {distributed.get_rank()} of this training lost another one and ends too "
                f"({str(error).splitlines()[0][:200]}). Run the same command to go on from the last checkpoint."
            ) from error
        raise


def _reduced(value: float, kind: torch.dtype, operation: Any) -> float:
    tensor = torch.tensor([value], dtype=kind)
    distributed.all_reduce(tensor, operation)
    return tensor.item()

"""Process groups of a training: one process, DDP or FSDP. Each process computes its part of the same batch.

`SINGLE_PROCESS` communicates and wraps nothing. In a `DDPGroup` every process holds the whole model; in an `FSDPGroup`
the processes divide weights, EMA and optimiser state among them.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ddpm.diffusion.denoiser import Denoiser
from ddpm.diffusion.objectives import Objective

Loss = Callable[..., Tensor]


class PeerLostError(ValueError):
    """Another process of this training has ended, so this one cannot go on."""


class ProcessGroup:
    """Process `rank` of the `count` processes of a training; by default the only one."""

    def __init__(self, rank: int = 0, count: int = 1) -> None:
        self.rank, self.count = rank, count

    @property
    def is_main(self) -> bool:
        """True if this process writes the outputs."""
        return self.rank == 0

    def loss(self, denoiser: Denoiser, objective: Objective) -> Loss:
        """The objective of this denoiser, whose gradients are averaged over the group."""
        return partial(objective, denoiser)

    def no_sync(self) -> contextlib.AbstractContextManager[object]:
        """Accumulate gradients without exchanging them, for every micro-batch of a step but the last."""
        return contextlib.nullcontext()

    def reshard(self) -> None:
        """Free the gathered weights of a sharded model, so that the next forward pass gathers the current ones."""

    def dropout_key(self) -> tuple[int, ...]:
        """Part of the dropout seed that differs between processes."""
        return () if self.count == 1 else (self.rank,)

    def all_reduce_mean(self, values: Tensor) -> Tensor:
        """Mean of numbers on the CPU over the processes; not finite if one of them is not."""
        if self.count > 1:
            values = values.contiguous()
            distributed.all_reduce(values, distributed.ReduceOp.SUM)
        return values / self.count

    def all_reduce_max(self, value: int) -> int:
        """Maximum of a number over the processes."""
        if self.count == 1:
            return value
        tensor = torch.tensor([value])
        distributed.all_reduce(tensor, distributed.ReduceOp.MAX)
        return int(tensor)

    def all_gather(self, values: Tensor) -> Tensor:
        """Concatenate the tensors of all processes along the first axis, on the CPU."""
        if self.count == 1:
            return values
        mine = values.detach().cpu().contiguous()
        every = [torch.empty_like(mine) for _ in range(self.count)]
        distributed.all_gather(every, mine)
        return torch.cat(every)

    def barrier(self) -> None:
        """Wait until every process has reached this call."""
        self.all_reduce_max(0)


SINGLE_PROCESS = ProcessGroup()


class _Loss(nn.Module):
    """The loss as a module, since DDP hooks into `forward`."""

    def __init__(self, denoiser: Denoiser, objective: Objective) -> None:
        super().__init__()
        self.denoiser, self.objective = denoiser, objective

    def forward(self, *inputs: Any) -> Tensor:
        return self.objective(self.denoiser, *inputs)


class DDPGroup(ProcessGroup):
    """DDP: every process holds the whole model; gradients are averaged while they are computed."""

    def __init__(self, rank: int, count: int, denoiser: Denoiser, objective: Objective) -> None:
        super().__init__(rank, count)
        self.replica = DistributedDataParallel(
            _Loss(denoiser, objective), forward_sync_buffers=False, gradient_as_bucket_view=True
        )

    def loss(self, denoiser: Denoiser, objective: Objective) -> Loss:
        """See ProcessGroup."""
        return self.replica

    def no_sync(self) -> contextlib.AbstractContextManager[object]:
        """See ProcessGroup."""
        return self.replica.no_sync()


class FSDPGroup(ProcessGroup):
    """FSDP: the processes divide the model. Call `shard` before creating its optimiser."""

    def __init__(self, rank: int, count: int, denoiser: Denoiser) -> None:
        super().__init__(rank, count)
        self.net = denoiser.net

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """See ProcessGroup."""
        self.net.set_requires_gradient_sync(False)  # type: ignore[operator]  # a method that fully_shard adds
        yield
        self.net.set_requires_gradient_sync(True)  # type: ignore[operator]

    def reshard(self) -> None:
        """See ProcessGroup."""
        from torch.distributed.fsdp import FSDPModule

        for module in self.net.modules():
            if isinstance(module, FSDPModule):
                module.reshard()


def shard(denoiser: Denoiser, units: Iterable[nn.Module], where: torch.device) -> None:
    """Divide the network among the processes, in place (FSDP2). units: modules that are gathered one at a time."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(where.type, (distributed.get_world_size(),))
    for unit in [*units, denoiser.net]:
        fully_shard(unit, mesh=mesh)
    denoiser.to(where)


@contextlib.contextmanager
def peer_loss_explained() -> Iterator[None]:
    """Turn a failed exchange between processes into PeerLostError."""
    try:
        yield
    except RuntimeError as error:
        if distributed.is_initialized() and (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise PeerLostError(
                f"process {distributed.get_rank()} of this training lost another one and ends too "
                f"({str(error).splitlines()[0][:200]}). Run the same command to resume from the last checkpoint."
            ) from error
        raise

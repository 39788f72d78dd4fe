"""A training from its parameters: model and loop configuration, initial state and process group."""

from functools import partial
from pathlib import Path

import torch

from ddpm.config import params
from ddpm.diffusion import conditioning, consistency, objectives
from ddpm.model import build, checkpoint, power_ema
from ddpm.model.config import DENOISING, ModelConfig
from ddpm.runtime.device import (
    REDUCE_OVERHEAD,
    channels_last,
    compile_network,
    deterministic,
    require_supported,
    use_tf32,
)
from ddpm.training import data_parallel, optimizers, state
from ddpm.training.config import TrainConfig


def checkpoint_config(settings: params.Params, resolution: int, channels: int, classes: tuple[str, ...]) -> ModelConfig:
    """The config of a checkpoint: enough to rebuild the network and to validate requests."""
    image = {"resolution": resolution, "channels": channels, "classes": list(classes)}
    kind = {} if settings.train.objective == DENOISING else {"objective": settings.train.objective}
    return ModelConfig.from_json(
        {
            "image": image | {"label_dropout": settings.train.label_dropout},
            "net": settings.net.model_dump(mode="json"),
            "diffusion": settings.diffusion.model_dump(mode="json"),
            **kind,
        }
    )


def train_config(settings: params.Params) -> TrainConfig:
    """The settings of the loop as plain values."""
    names = set(TrainConfig.__dataclass_fields__) - {"weighting", "condition_scale"}
    chosen = {name: value for name, value in settings.train.model_dump().items() if name in names}
    if chosen["ema"] == "auto":
        chosen["ema"] = settings.train.images  # until the end: a tenth of the images seen, without an upper limit
    diffusion = settings.diffusion
    scale = conditioning.CONDITIONS[diffusion.condition]
    return TrainConfig(**chosen, weighting=diffusion.weighting, condition_scale=scale)


def require_possible(settings: params.Params, count: int) -> None:
    """Raise ValueError if `count` processes cannot share the training."""
    train_config(settings).require_shares(count)
    if settings.train.sharding == "full" and count == 1:
        raise ValueError(
            "train.sharding: full divides the model among processes, and there is one. Raise train.processes"
        )
    if settings.train.compile == REDUCE_OVERHEAD and count > 1:
        raise ValueError(
            f"train.compile: {REDUCE_OVERHEAD} is for one process, and there are {count}. Use compile: true, or "
            "train.processes: 1"
        )


def set_kernels(settings: params.Train, where: torch.device) -> None:
    """Choose torch's kernels for a training in this process: deterministic or fastest, exact or TF32.

    Raises ValueError for a precision or a way of compiling that the device does not support.
    """
    require_supported(where, settings.precision, settings.compile, "train")
    deterministic(on=settings.deterministic)
    use_tf32(on=settings.precision == "tf32")


def new_state(
    config: ModelConfig, settings: params.Train, where: torch.device, initial: Path | None = None
) -> state.State:
    """A training at step 0 with weights drawn from the seed, or those of the checkpoint `initial`."""
    torch.manual_seed(settings.seed)
    denoiser = build.denoiser(config)
    if settings.sharding == "none":
        denoiser.to(where)
    if initial:
        denoiser.load_state_dict(checkpoint.starting(initial, denoiser.state_dict()))
    if settings.sharding == "full":
        data_parallel.shard(denoiser, build.units(denoiser.net), where)
    elif settings.channels_last:
        channels_last(denoiser)
    if settings.compile and settings.deterministic:
        torch.use_deterministic_algorithms(True)  # the compiler's own kernels too
    compile_network(denoiser.net, settings.compile)
    values = optimizers.Settings(settings.lr, settings.weight_decay, settings.beta2, settings.muon_lr)
    optimizer = optimizers.optimizer(denoiser, settings.optimizer, values)
    weights = denoiser.state_dict()
    ema = {name: tensor.clone() for name, tensor in weights.items()}
    lengths = power_ema.LENGTHS if settings.snapshots else ()
    averages = {length: {name: tensor.clone() for name, tensor in weights.items()} for length in lengths}
    return state.State(denoiser, ema, optimizer, averages=averages, objective=_objective(settings, where, initial))


def _objective(settings: params.Train, where: torch.device, initial: Path | None) -> objectives.Objective:
    """What the training minimises. The teacher of a consistency model is the checkpoint `initial`, as it was."""
    objective = objectives.OBJECTIVES[settings.objective]
    if settings.objective == DENOISING:
        return objective
    if initial is None:
        raise ValueError(f"train.objective = {settings.objective} needs a teacher as train.initial")
    teacher = checkpoint.load(initial, device=str(where))
    if settings.teacher_guidance != 1 and not teacher.config.image.label_dropout:
        raise ValueError(
            f"train.teacher_guidance = {settings.teacher_guidance} needs a teacher that was also trained without "
            f"labels (train.label_dropout), which {initial} was not; use 1"
        )
    if settings.channels_last:
        channels_last(teacher.denoiser)
    guided = consistency.guided(teacher.denoiser, len(teacher.classes), settings.teacher_guidance)
    return partial(objective, teacher=guided, hops=settings.hops)


def make_group(training: state.State, settings: params.Train, rank: int, count: int) -> data_parallel.ProcessGroup:
    """The process group of a training: one process, DDP or FSDP."""
    if count == 1:
        return data_parallel.SINGLE_PROCESS
    if settings.sharding == "full":
        return data_parallel.FSDPGroup(rank, count, training.denoiser)
    return data_parallel.DDPGroup(rank, count, training.denoiser, training.objective)

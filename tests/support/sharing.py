"""Models that both programs have, and what each draws of the same noise."""

from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMPipeline, UNet2DModel
from torch import Tensor

from ddpm.diffusion.samplers import table as samplers
from ddpm.diffusion.samplers.base import Noise
from ddpm.model import checkpoint
from tests.support import tiny

STEPS = 20
CONFIG = {**tiny.CONFIG, "diffusion": tiny.CONFIG["diffusion"] | {"steps": STEPS}}
SMALL = {
    "sample_size": 8, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4,
    "attention_head_dim": 8, "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
}  # fmt: skip


def our_image(folder: Path, seed: int, label: int | None = None) -> Tensor:
    """Ancestral sampling with the noise that DDPMPipeline would draw: (2, C, 8, 8) in [0, 1]."""
    model = checkpoint.load(folder)
    shape = (2, model.channels, model.resolution, model.resolution)
    labels = None if label is None else torch.full((2,), label)
    generator = torch.Generator().manual_seed(seed)
    levels = torch.cat([model.denoiser.sigmas.flip(0), torch.zeros(1, dtype=torch.float64)])
    first = (1 + levels[0] ** 2).sqrt().item() * torch.randn(shape, generator=generator)
    with torch.no_grad():
        found = ancestral(model, first, levels, lambda i: torch.randn(shape, generator=generator), labels)
    return (found / 2 + 0.5).clamp(0, 1)


def ancestral(model: checkpoint.Model, y: Tensor, levels: Tensor, noise: Noise, labels: Tensor | None = None) -> Tensor:
    """Sample with the small variance, or with the model's own if it has learned one."""

    def denoise(y: Tensor, sigma: float) -> Tensor:
        return model.denoiser(y, torch.full((2,), sigma), labels).clamp(-1, 1)

    def both(y: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        x0, fraction = model.denoiser.with_variance(y, torch.full((2,), sigma), labels)
        return x0.clamp(-1, 1), fraction

    if model.config.diffusion.learned_variance:
        return samplers.ddpm_learned(both, y, levels, noise)
    return samplers.ddpm(denoise, y, levels, noise)


def their_image(folder: Path, seed: int, *, double: bool = False) -> Tensor:
    """double: with a table of float64 in the scheduler, which by itself has one of float32."""
    pipeline = DDPMPipeline.from_pretrained(folder, trust_remote_code=(folder / "unet/patched_unet.py").is_file())
    pipeline.set_progress_bar_config(disable=True)
    scheduler = pipeline.scheduler
    if double:
        betas = torch.tensor(scheduler.config.trained_betas, dtype=torch.float64)
        scheduler.alphas_cumprod, scheduler.one = (1 - betas).cumprod(0), torch.ones((), dtype=torch.float64)
    steps = scheduler.config.num_train_timesteps
    generator = torch.Generator().manual_seed(seed)
    found = pipeline(batch_size=2, generator=generator, num_inference_steps=steps, output_type="pt").images
    assert isinstance(found, Tensor)
    return found


def changed(**changes: dict[str, Any]) -> dict[str, Any]:
    """CONFIG without labels, with keys of sections changed."""
    config = tiny.unlabelled(CONFIG)
    return {**config, **{section: config[section] | keys for section, keys in changes.items()}}


def random_unet(**fields: Any) -> UNet2DModel:
    """A UNet2DModel with random values everywhere."""
    torch.manual_seed(0)
    unet = UNet2DModel(**fields).eval()
    for parameter in unet.parameters():
        parameter.data = torch.randn(parameter.shape) * 0.1
    return unet


def published(folder: Path, unet: UNet2DModel, scheduler: Any) -> Path:
    """Save a model with diffusers itself."""
    DDPMPipeline(unet, scheduler).save_pretrained(folder)
    return folder

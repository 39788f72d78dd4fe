"""The published layout of a DDPM U-Net (Ho et al. 2020) that the benches compare with other libraries."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers import UNet2DModel

SIDE, STEPS = 32, 1000
CONFIG = {
    "image": {"resolution": SIDE, "channels": 1, "classes": [], "label_dropout": 0.0},
    "net": {"kind": "unet", "channels": 32, "multipliers": (1, 2, 2), "blocks": 2, "attention": (16,),
            "middle_attention": True, "head_channels": 32, "groups": 8, "scale_shift": False, "resample": "conv",
            "dropout": 0.0, "patch": 1, "layout": "adm"},
    "diffusion": {"process": "ddpm", "steps": STEPS, "schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02,
                  "prediction": "eps", "sigma_data": 0.5, "variance": "fixed", "condition": "none"},
}  # fmt: skip


def diffusers_unet() -> "UNet2DModel":
    """The same network in diffusers."""
    from diffusers import UNet2DModel

    return UNet2DModel(
        sample_size=SIDE, in_channels=1, out_channels=1, block_out_channels=(32, 64, 64), layers_per_block=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"), attention_head_dim=32, norm_num_groups=8,
    )  # fmt: skip

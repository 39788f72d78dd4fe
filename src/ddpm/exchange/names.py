"""Names here and in diffusers, and the files of a diffusers folder."""

UNET, SCHEDULER, PIPELINE = "unet/config.json", "scheduler/scheduler_config.json", "model_index.json"
WEIGHTS = "diffusion_pytorch_model.safetensors"
PATCHED, PATCHED_CLASS, INSIDE, PREFIX = "patched_unet", "PatchedUNet2DModel", "inside", "unet."
"""For `net.patch` above 1: the folder's module, its class, and field and weight prefix of its UNet2DModel."""

PREDICTIONS = {"eps": "epsilon", "x0": "sample", "v": "v_prediction"}
SCHEDULES = {
    "linear": "linear",
    "scaled-linear": "scaled_linear",
    "quadratic": "scaled_linear",
    "cosine": "squaredcos_cap_v2",
    "sigmoid": "sigmoid",
}
VARIANCES = {"fixed": "fixed_small", "learned": "learned_range"}
SHIFTS = {False: "default", True: "scale_shift"}
RESAMPLES = {"conv": "conv", "residual": "resnet"}
LAYOUTS = {
    "adm": {"freq_shift": 0, "downsample_padding": 1, "norm_eps": 1e-5},
    "ddpm": {"freq_shift": 1, "downsample_padding": 0, "norm_eps": 1e-6},
}
ATTENTION = ("AttnDownBlock2D", "AttnUpBlock2D")
LEVELS = {  # without attention, by resampling: down blocks, up blocks
    "conv": ("DownBlock2D", "UpBlock2D"),
    "residual": ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D"),
}

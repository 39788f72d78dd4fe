"""Import from diffusers, compared with diffusers itself: weights, images, an ordinary checkpoint, refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from ruamel.yaml import YAML
from typer.testing import CliRunner

from ddpm import exchange
from ddpm.cli import app
from ddpm.common import files
from ddpm.config import params
from ddpm.model import checkpoint
from ddpm.sampling import generate
from ddpm.serving import pack
from ddpm.training import loop
from ddpm.training.batches import Loader
from tests.support import tiny
from tests.support.sharing import CONFIG, SMALL, STEPS, our_image, published, random_unet, their_image

PUBLISHED = {  # the config of google/ddpm-cifar10-32 as it was published
    "act_fn": "silu", "attention_head_dim": None, "block_out_channels": (128, 256, 256, 256),
    "center_input_sample": False, "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "downsample_padding": 0, "dropout": 0.0, "flip_sin_to_cos": False, "freq_shift": 1, "in_channels": 3,
    "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-6, "norm_num_groups": 32, "out_channels": 3,
    "sample_size": 32, "time_embedding_type": "positional",
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
}  # fmt: skip


def test_the_published_cifar10_network(tmp_path: Path) -> None:
    """Its layout with all its fields and files as they were published in 2022, but for values and safetensors."""
    unet = random_unet(**PUBLISHED)
    old = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
    weights = {}
    for name, value in unet.state_dict().items():
        renamed = name
        for before, now in old.items():
            renamed = renamed.replace(f".{now}.", f".{before}.")
        weights[renamed] = value
    folder = tmp_path / "published"
    files.write_tensors(folder / "diffusion_pytorch_model.safetensors", weights)
    head = {"_class_name": "UNet2DModel", "_diffusers_version": "0.0.4"}
    files.write_json(folder / "config.json", {**head, **PUBLISHED})
    files.write_json(
        folder / "scheduler_config.json",
        {"_class_name": "DDPMScheduler", "_diffusers_version": "0.1.1", "beta_end": 0.02, "beta_schedule": "linear",
         "beta_start": 0.0001, "clip_sample": True, "num_train_timesteps": 1000, "trained_betas": None,
         "variance_type": "fixed_large"},
    )  # fmt: skip
    exchange.take(folder, tmp_path / "model")
    model = checkpoint.load(tmp_path / "model")
    assert sum(each.numel() for each in model.denoiser.net.parameters()) == 35_746_307
    assert model.config.net.options["layout"] == "ddpm"
    x, time = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)), torch.tensor([3.0, 700.0])
    with torch.no_grad():
        expected = unet(x, time).sample
        assert expected.std() > 0.1
        torch.testing.assert_close(model.denoiser.net(x, time), expected, rtol=1e-4, atol=1e-4 * expected.std().item())
    table = DDPMScheduler().alphas_cumprod.double()
    torch.testing.assert_close(model.denoiser.sigmas, ((1 - table) / table).sqrt(), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    ("fields", "scheduler"),
    [
        ({}, {"prediction_type": "v_prediction", "beta_schedule": "squaredcos_cap_v2"}),
        ({"resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 4, "flip_sin_to_cos": False}, {}),
        ({"down_block_types": ("ResnetDownsampleBlock2D", "AttnDownBlock2D"), "upsample_type": "resnet"}, {}),
        ({"down_block_types": ["AttnDownBlock2D"] * 2, "up_block_types": ["AttnUpBlock2D"] * 2, "add_attention": False},
         {"beta_schedule": "scaled_linear", "prediction_type": "sample"}),
        ({"in_channels": 1, "out_channels": 1}, {"beta_schedule": "sigmoid"}),
        ({"out_channels": 6}, {"variance_type": "learned_range"}),
    ],
)  # fmt: skip
def test_draws_the_images_of_diffusers(fields: dict[str, Any], scheduler: dict[str, Any], tmp_path: Path) -> None:
    options = {"num_train_timesteps": STEPS, "beta_end": 0.3} | scheduler
    folder = published(tmp_path / "theirs", random_unet(**SMALL | fields), DDPMScheduler(**options))
    exchange.take(folder, tmp_path / "model")
    expected = their_image(folder, 5)
    torch.testing.assert_close(our_image(tmp_path / "model", 5), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("names", "classes"), [(None, ("0", "1", "2")), (["a", "b", "c"], ("a", "b", "c")),
                                                (["a", "b"], ("a", "b"))])  # fmt: skip
def test_a_class_conditional_model_is_taken(names: list[str] | None, classes: tuple[str, ...], tmp_path: Path) -> None:
    unet = random_unet(**SMALL, num_class_embeds=3)
    folder = published(tmp_path / "theirs", unet, DDIMScheduler())
    config = exchange.take(folder, tmp_path / "model", names)
    model = checkpoint.load(tmp_path / "model")
    assert model.classes == classes
    assert bool(config.image.label_dropout) == (len(classes) == 2)  # only then is there a label for none
    x, time, labels = torch.randn(3, 3, 8, 8), torch.tensor([0.0, 10.0, 999.0]), torch.tensor([0, 1, 2])
    with torch.no_grad():
        expected = unet(x, time, labels).sample
        torch.testing.assert_close(model.denoiser.net(x, time, labels), expected, rtol=1e-4, atol=1e-4)
    for wrong in (["a"], ["a", "a"], ["a", "b", "c", "d"]):
        with pytest.raises(ValueError, match="this model has 3 labels: give 3 different names, or 2"):
            exchange.take(folder, tmp_path / "other", wrong)


@pytest.mark.parametrize(("variance", "patch"), [("fixed", 1), ("learned", 1), ("fixed", 2), ("learned", 2)])
def test_back_and_forth_changes_nothing(variance: str, patch: int, tmp_path: Path) -> None:
    config = {**CONFIG, "net": CONFIG["net"] | {"resample": "residual", "layout": "ddpm", "patch": patch},
              "diffusion": CONFIG["diffusion"] | {"variance": variance}}  # fmt: skip
    folder = tiny.random_checkpoint(tmp_path / "model", config)
    exchange.export(folder, tmp_path / "theirs")
    found = exchange.take(tmp_path / "theirs", tmp_path / "back", ["dark", "light"]).source
    assert found["image"] == config["image"]
    assert found["net"] == config["net"]
    same = ("process", "steps", "schedule", "prediction", "variance", "condition")
    assert {key: found["diffusion"][key] for key in same} == {key: config["diffusion"][key] for key in same}
    before, after = (files.read_tensors(each / checkpoint.WEIGHTS) for each in (folder, tmp_path / "back"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_what_was_taken_is_a_checkpoint_like_any_other(tmp_path: Path) -> None:
    """Drawn from, packed for the registry, and trained further."""
    unet = random_unet(**SMALL | {"in_channels": 1, "out_channels": 1})
    folder = published(tmp_path / "theirs", unet, DDPMScheduler(num_train_timesteps=50, beta_end=0.2))
    done = CliRunner().invoke(app, ["import", str(folder), "--out", str(tmp_path / "model")])
    assert done.exit_code == 0, done.output
    assert "8 x 8, 1 channel(s), no classes, T = 50" in done.output
    net = YAML(typ="safe").load(done.output[done.output.index("net:") :])["net"]
    assert net == checkpoint.read_config(tmp_path / "model").source["net"]
    values = params.read_yaml(Path(__file__).parents[3] / "params.yaml")
    values["prepare"] |= {"resolution": 8}
    assert params.parse(values | {"net": net}).net.kind == "unet"  # what is printed can be put there
    model = checkpoint.load(tmp_path / "model")
    assert generate.generate(model, 3, generate.Sampling(steps=5)).shape == (3, 8, 8, 1)
    pack.pack(tmp_path / "model", tmp_path / "packed", {})
    assert (tmp_path / "packed" / "MLmodel").is_file()
    training = tiny.training(dict(model.config.source))
    training.denoiser.load_state_dict(files.read_tensors(tmp_path / "model" / checkpoint.RAW))
    levels, cpu = training.denoiser.process.draw, torch.device("cpu")
    loader = Loader(tiny.data(labelled=False), tiny.TRAIN_CONFIG, levels, cpu)
    loop.train_step(training, loader.batches(0), tiny.TRAIN_CONFIG)
    assert training.step == 1


@pytest.mark.parametrize(
    ("part", "fields", "told"),
    [
        ("unet", {"_class_name": "UNet2DConditionModel"}, "_class_name = 'UNet2DConditionModel'"),
        ("unet", {"wavelets": 3}, "wavelets = 3: unknown field"),
        ("unet", {"time_embedding_type": "fourier"}, "time_embedding_type = 'fourier': supported: 'positional'"),
        ("unet", {"mid_block_scale_factor": 1.4}, "mid_block_scale_factor = 1.4: supported: 1"),
        ("unet", {"center_input_sample": True}, "center_input_sample = True"),
        ("unet", {"act_fn": "gelu"}, "act_fn = 'gelu'"),
        ("unet", {"class_embed_type": "timestep"}, "class_embed_type = 'timestep'"),
        ("unet", {"_class_name": "PatchedUNet2DModel", "patch": 99}, "patch = 99: PatchedUNet2DModel needs 2 to 16"),
        (
            "unet",
            {"_class_name": "PatchedUNet2DModel", "patch": 2, "in_channels": 3, "inside": {"in_channels": 9}},
            "in_channels = 3: its unet has 9, but 4 times as many are needed",
        ),
        ("unet", {"freq_shift": 1}, "freq_shift, downsample_padding, norm_eps = (1, 1, 1e-05)"),
        (
            "unet",
            {"block_out_channels": [8, 12]},
            "block_out_channels = [8, 12]: supported: multiples of the first",
        ),
        ("unet", {"out_channels": 6}, "out_channels = 6: supported: as many as in_channels"),
        ("unet", {"in_channels": 4, "out_channels": 4}, "in_channels = 4: supported: 1, 3"),
        ("unet", {"sample_size": None}, "sample_size = None"),
        ("unet", {"sample_size": [8, 16]}, "sample_size = [8, 16]: supported: one side"),
        ("unet", {"sample_size": 9}, "sample_size = 9: supported: one side, divisible by 2"),
        ("unet", {"time_embedding_dim": 64}, "time_embedding_dim = 64: supported: 32"),
        ("unet", {"attention_head_dim": 5}, "attention_head_dim = 5: supported: divisors of [16]"),
        ("unet", {"norm_num_groups": 3}, "norm_num_groups = 3"),
        ("unet", {"resnet_time_scale_shift": "scale_shift"}, "attn_norm_num_groups = None: supported: 4"),
        ("unet", {"up_block_types": ["UpBlock2D", "AttnUpBlock2D"]}, "attention as in down_block_types"),
        ("unet", {"down_block_types": ["SkipDownBlock2D", "AttnDownBlock2D"]}, "down_block_types = ['SkipDownBlock2D'"),
        (
            "unet",
            {"down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D"]},
            "levels differ in their resampling",
        ),
        ("scheduler", {"_class_name": "ScoreSdeVeScheduler"}, "_class_name = 'ScoreSdeVeScheduler'"),
        ("scheduler", {"beta_schedule": "laplace"}, "beta_schedule = 'laplace': supported: 'linear'"),
        ("scheduler", {"variance_type": "learned_range"}, "variance_type = 'learned_range'"),
        ("scheduler", {"variance_type": "learned"}, "variance_type = 'learned': supported: 'fixed_small'"),
        ("scheduler", {"thresholding": True}, "thresholding = True"),
        ("scheduler", {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr = True"),
        ("scheduler", {"trained_betas": [0.1, 0.2]}, "trained_betas = '2 numbers'"),
        ("scheduler", {"num_train_timesteps": 9999}, "num_train_timesteps = 9999: supported: 1 to 5000"),
        ("scheduler", {"sigma_max": 80}, "sigma_max = 80: unknown field"),
    ],
)
def test_what_cannot_be_taken_is_refused_by_name(part: str, fields: dict[str, Any], told: str, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    configs = {
        "unet": {"_class_name": "UNet2DModel", **SMALL} | (fields if part == "unet" else {}),
        "scheduler": {"_class_name": "DDPMScheduler"} | (fields if part == "scheduler" else {}),
    }
    files.write_json(folder / "unet/config.json", configs["unet"])
    files.write_json(folder / "scheduler/scheduler_config.json", configs["scheduler"])
    with pytest.raises(ValueError, match="cannot be imported") as refused:
        exchange.take(folder, tmp_path / "model")
    assert told in str(refused.value)
    assert not (tmp_path / "model").exists()


def test_weights_that_are_not_there_or_not_those_of_the_config(tmp_path: Path) -> None:
    folder = published(tmp_path / "theirs", random_unet(**SMALL), DDPMScheduler())
    path = folder / "unet/diffusion_pytorch_model.safetensors"
    weights = files.read_tensors(path)
    config = json.loads((folder / "unet/config.json").read_text())

    files.write_json(folder / "unet/config.json", config | {"layers_per_block": 2})
    with pytest.raises(ValueError, match=r"missing: down_blocks\.0\.resnets\.1.* and \d+ more; surplus: nothing"):
        exchange.take(folder, tmp_path / "model")
    files.write_json(folder / "unet/config.json", config | {"in_channels": 1, "out_channels": 1})
    with pytest.raises(ValueError, match=r"conv_in\.weight has shape \(8, 3, 3, 3\).* where \(8, 1, 3, 3\)"):
        exchange.take(folder, tmp_path / "model")
    files.write_json(folder / "unet/config.json", config)
    files.write_tensors(path, weights | {"extra.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"missing: nothing; surplus: extra\.weight"):
        exchange.take(folder, tmp_path / "model")
    path.rename(path.with_suffix(".bin"))
    with pytest.raises(
        FileNotFoundError, match=r"found: diffusion_pytorch_model\.bin\). Only a single safetensors file"
    ):
        exchange.take(folder, tmp_path / "model")
    (folder / "unet/config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"neither unet/config\.json nor config\.json"):
        exchange.take(folder, tmp_path / "model")

"""To diffusers and back, held against diffusers itself: opened there, equal weights, equal images, refusals by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from ruamel.yaml import YAML
from torch import Tensor
from typer.testing import CliRunner

from ddpm import build, checkpoint, exchange, files, generate, params, registry
from ddpm.cli import app
from ddpm.diffusion import samplers
from ddpm.exchange.weights import theirs
from ddpm.registry import pack
from tests import tiny

STEPS = 20
CONFIG = {**tiny.CONFIG, "diffusion": tiny.CONFIG["diffusion"] | {"steps": STEPS}}
PUBLISHED = {  # the config of google/ddpm-cifar10-32 as it was published
    "act_fn": "silu", "attention_head_dim": None, "block_out_channels": (128, 256, 256, 256),
    "center_input_sample": False, "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"),
    "downsample_padding": 0, "dropout": 0.0, "flip_sin_to_cos": False, "freq_shift": 1, "in_channels": 3,
    "layers_per_block": 2, "mid_block_scale_factor": 1, "norm_eps": 1e-6, "norm_num_groups": 32, "out_channels": 3,
    "sample_size": 32, "time_embedding_type": "positional",
    "up_block_types": ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
}  # fmt: skip
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
        found = samplers.ddpm(
            lambda y, sigma: model.denoiser(y, torch.full((2,), sigma), labels).clamp(-1, 1),
            first, levels, lambda i: torch.randn(shape, generator=generator),
        )  # fmt: skip
    return (found / 2 + 0.5).clamp(0, 1)


def their_image(folder: Path, seed: int, *, double: bool = False) -> Tensor:
    """double: with a table of float64 in the scheduler, which by itself has one of float32."""
    pipeline = DDPMPipeline.from_pretrained(folder)
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


@pytest.mark.parametrize(
    "config",
    [
        changed(),
        changed(net={"resample": "residual", "layout": "ddpm"}, diffusion={"schedule": "linear", "prediction": "eps"}),
        changed(net={"scale_shift": False, "middle_attention": False, "attention": []}, diffusion={"prediction": "x0"}),
        changed(net={"multipliers": [1, 1, 2], "attention": [4, 8]}, diffusion={"schedule": "quadratic"}),
        changed(net={"multipliers": [1], "attention": [8]}, diffusion={"schedule": "sigmoid"}),
    ],
)  # fmt: skip
def test_diffusers_draws_the_same_images(config: dict[str, Any], tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model", config)
    exchange.export(folder, tmp_path / "out")
    expected = our_image(folder, 3)
    assert 0.02 < expected.std() < 0.49  # neither flat nor all at the bounds
    torch.testing.assert_close(their_image(tmp_path / "out", 3), expected, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_a_thousand_steps_differ_by_the_precision_of_their_table(tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model", changed(diffusion={"steps": 1000}))
    exchange.export(folder, tmp_path / "out")
    expected = our_image(folder, 3)
    torch.testing.assert_close(their_image(tmp_path / "out", 3), expected, rtol=0, atol=3e-4)
    torch.testing.assert_close(their_image(tmp_path / "out", 3, double=True), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("label", "index"), [("dark", 0), ("light", 1), ("none", 2)])
def test_a_class_is_folded_into_a_model_without_labels(label: str, index: int, tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model", CONFIG)
    exchange.export(folder, tmp_path / "out", label)
    torch.testing.assert_close(their_image(tmp_path / "out", 3), our_image(folder, 3, index), rtol=0, atol=1e-4)
    assert (our_image(folder, 3, index) - our_image(folder, 3, (index + 1) % 3)).abs().max() > 0.01


def test_a_class_conditional_model_keeps_its_labels(tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model", CONFIG)
    exchange.export(folder, tmp_path / "out")
    unet = UNet2DModel.from_pretrained(tmp_path / "out", subfolder="unet").eval()
    x, time, labels = torch.randn(3, 1, 8, 8), torch.tensor([0.0, 10.0, 19.0]), torch.tensor([0, 1, 2])
    with torch.no_grad():
        expected = checkpoint.load(folder).denoiser.net(x, time, labels)
        torch.testing.assert_close(unet(x, time, labels).sample, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"net": {"patch": 2}}, "net.patch = 2 (can be carried: 1)"),
        ({"net": {"multipliers": [2, 4]}}, r"net.multipliers = [2, 4] (can be carried: lists that begin with 1)"),
        ({"diffusion": {"prediction": "edm"}}, "diffusion.prediction = edm (can be carried: eps, x0, v)"),
        ({"diffusion": {"process": "vp-sde"}}, "diffusion.process = vp-sde (can be carried: ddpm)"),
        ({"diffusion": {"variance": "learned"}}, "diffusion.variance = learned (can be carried: fixed)"),
        ({"diffusion": {"condition": "low-resolution-2"}}, "diffusion.condition = low-resolution-2"),
        ({"net": {"kind": "dit"}, "diffusion": {"prediction": "score"}}, "net.kind = dit (can be carried: unet); diff"),
    ],
)
def test_what_diffusers_has_no_place_for_is_refused_by_name(changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    files.write_json(tmp_path / "model/config.json", {"version": checkpoint.VERSION, **changed(**changes)})
    with pytest.raises(ValueError, match="no place for this model") as refused:
        exchange.export(tmp_path / "model", tmp_path / "out")
    assert told in str(refused.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("config", "label", "told"),
    [
        (tiny.unlabelled(), "dark", "without labels"),
        (tiny.CONFIG, "grey", "label grey does not exist; this model has dark, light, and none"),
        (
            {**tiny.CONFIG, "image": tiny.CONFIG["image"] | {"label_dropout": 0.0}},
            "none",
            "never learnt without labels",
        ),
    ],
)
def test_a_label_that_cannot_be_folded(config: dict[str, Any], label: str, told: str, tmp_path: Path) -> None:
    folder = tiny.random_checkpoint(tmp_path / "model", config)
    with pytest.raises(ValueError, match=told):
        exchange.export(folder, tmp_path / "out", label)


def random_unet(**fields: Any) -> UNet2DModel:
    """A UNet2DModel with random values everywhere."""
    torch.manual_seed(0)
    unet = UNet2DModel(**fields).eval()
    for parameter in unet.parameters():
        parameter.data = torch.randn(parameter.shape) * 0.1
    return unet


def published(folder: Path, unet: UNet2DModel, scheduler: Any) -> Path:
    """What diffusers itself writes."""
    DDPMPipeline(unet, scheduler).save_pretrained(folder)
    return folder


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
    assert model.config["net"]["layout"] == "ddpm"
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
    assert bool(config["image"]["label_dropout"]) == (len(classes) == 2)  # only then is there a label for none
    x, time, labels = torch.randn(3, 3, 8, 8), torch.tensor([0.0, 10.0, 999.0]), torch.tensor([0, 1, 2])
    with torch.no_grad():
        expected = unet(x, time, labels).sample
        torch.testing.assert_close(model.denoiser.net(x, time, labels), expected, rtol=1e-4, atol=1e-4)
    for wrong in (["a"], ["a", "a"], ["a", "b", "c", "d"]):
        with pytest.raises(ValueError, match="this model has 3 labels: give 3 names, or 2"):
            exchange.take(folder, tmp_path / "other", wrong)


def test_back_and_forth_changes_nothing(tmp_path: Path) -> None:
    config = {**CONFIG, "net": CONFIG["net"] | {"resample": "residual", "layout": "ddpm"}}
    folder = tiny.random_checkpoint(tmp_path / "model", config)
    exchange.export(folder, tmp_path / "theirs")
    found = exchange.take(tmp_path / "theirs", tmp_path / "back", ["dark", "light"])
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
    assert net == checkpoint.read_config(tmp_path / "model")["net"]
    values = params.read_yaml(Path(__file__).parents[1] / "params.yaml")
    values["prepare"] |= {"resolution": 8}
    assert params.parse(values | {"net": net}).net.kind == "unet"  # what is printed can be put there
    model = checkpoint.load(tmp_path / "model")
    assert generate.generate(model, 3, generate.Sampling(steps=5)).shape == (3, 8, 8, 1)
    pack.pack(tmp_path / "model", tmp_path / "packed", {})
    assert (tmp_path / "packed" / "MLmodel").is_file()
    training = tiny.training(dict(model.config))
    training.denoiser.load_state_dict(files.read_tensors(tmp_path / "model" / checkpoint.RAW))
    tiny.train.train_step(training, tiny.data(labelled=False), tiny.RECIPE, tiny.train.Order(0, 27))
    assert training.step == 1


@pytest.mark.parametrize(
    ("part", "fields", "told"),
    [
        ("unet", {"_class_name": "UNet2DConditionModel"}, "_class_name = 'UNet2DConditionModel'"),
        ("unet", {"wavelets": 3}, "wavelets = 3: this field is not known"),
        ("unet", {"time_embedding_type": "fourier"}, "time_embedding_type = 'fourier': can be carried: 'positional'"),
        ("unet", {"mid_block_scale_factor": 1.4}, "mid_block_scale_factor = 1.4: can be carried: 1"),
        ("unet", {"center_input_sample": True}, "center_input_sample = True"),
        ("unet", {"act_fn": "gelu"}, "act_fn = 'gelu'"),
        ("unet", {"class_embed_type": "timestep"}, "class_embed_type = 'timestep'"),
        ("unet", {"freq_shift": 1}, "freq_shift, downsample_padding, norm_eps = (1, 1, 1e-05)"),
        (
            "unet",
            {"block_out_channels": [8, 12]},
            "block_out_channels = [8, 12]: can be carried: multiples of the first",
        ),
        ("unet", {"out_channels": 6}, "out_channels = 6: can be carried: as many as in_channels"),
        ("unet", {"in_channels": 4, "out_channels": 4}, "in_channels = 4: can be carried: 1, 3"),
        ("unet", {"sample_size": None}, "sample_size = None"),
        ("unet", {"sample_size": [8, 16]}, "sample_size = [8, 16]: can be carried: one side"),
        ("unet", {"sample_size": 9}, "sample_size = 9: can be carried: one side, divisible by 2"),
        ("unet", {"time_embedding_dim": 64}, "time_embedding_dim = 64: can be carried: 32"),
        ("unet", {"attention_head_dim": 5}, "attention_head_dim = 5: can be carried: divisors of [16]"),
        ("unet", {"norm_num_groups": 3}, "norm_num_groups = 3"),
        ("unet", {"resnet_time_scale_shift": "scale_shift"}, "attn_norm_num_groups = None: can be carried: 4"),
        ("unet", {"up_block_types": ["UpBlock2D", "AttnUpBlock2D"]}, "attention as on the way down"),
        ("unet", {"down_block_types": ["SkipDownBlock2D", "AttnDownBlock2D"]}, "down_block_types = ['SkipDownBlock2D'"),
        ("unet", {"down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D"]}, "resample in different ways"),
        ("scheduler", {"_class_name": "ScoreSdeVeScheduler"}, "_class_name = 'ScoreSdeVeScheduler'"),
        ("scheduler", {"beta_schedule": "laplace"}, "beta_schedule = 'laplace': can be carried: 'linear'"),
        ("scheduler", {"variance_type": "learned_range"}, "variance_type = 'learned_range'"),
        ("scheduler", {"thresholding": True}, "thresholding = True"),
        ("scheduler", {"rescale_betas_zero_snr": True}, "rescale_betas_zero_snr = True"),
        ("scheduler", {"trained_betas": [0.1, 0.2]}, "trained_betas = '2 numbers'"),
        ("scheduler", {"num_train_timesteps": 9999}, "num_train_timesteps = 9999: can be carried: 1 to 5000"),
        ("scheduler", {"sigma_max": 80}, "sigma_max = 80: this field is not known"),
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
    with pytest.raises(ValueError, match="cannot be taken") as refused:
        exchange.take(folder, tmp_path / "model")
    assert told in str(refused.value)
    assert not (tmp_path / "model").exists()


def test_weights_that_are_not_there_or_not_those_of_the_config(tmp_path: Path) -> None:
    folder = published(tmp_path / "theirs", random_unet(**SMALL), DDPMScheduler())
    path = folder / "unet/diffusion_pytorch_model.safetensors"
    weights = files.read_tensors(path)
    config = json.loads((folder / "unet/config.json").read_text())

    files.write_json(folder / "unet/config.json", config | {"layers_per_block": 2})
    with pytest.raises(ValueError, match=r"missing: down_blocks\.0\.resnets\.1.* and \d+ more; left over: nothing"):
        exchange.take(folder, tmp_path / "model")
    files.write_json(folder / "unet/config.json", config | {"in_channels": 1, "out_channels": 1})
    with pytest.raises(ValueError, match=r"conv_in\.weight has the shape \(8, 3, 3, 3\).* where \(8, 1, 3, 3\)"):
        exchange.take(folder, tmp_path / "model")
    files.write_json(folder / "unet/config.json", config)
    files.write_tensors(path, weights | {"extra.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"missing: nothing; left over: extra\.weight"):
        exchange.take(folder, tmp_path / "model")
    path.rename(path.with_suffix(".bin"))
    with pytest.raises(FileNotFoundError, match=r"there is diffusion_pytorch_model\.bin. Only whole safetensors"):
        exchange.take(folder, tmp_path / "model")
    (folder / "unet/config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"neither unet/config\.json nor config\.json"):
        exchange.take(folder, tmp_path / "model")


def test_the_commands_say_what_to_do_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "download", Path)  # a folder is downloaded from where it is
    folder = tiny.random_checkpoint(tmp_path / "model", CONFIG)
    run = CliRunner()
    done = run.invoke(app, ["export", "--to", "diffusers", "--model", str(folder), str(tmp_path / "theirs")])
    assert done.exit_code == 0, done.output
    assert "from_pretrained" in done.output
    assert "0 to 1 (dark, light) or 2 (none)" in done.output
    again = run.invoke(app, ["export", "--model", str(folder), str(tmp_path / "theirs")])
    assert again.exit_code == 1
    done = run.invoke(
        app, ["import", str(tmp_path / "theirs"), "--out", str(tmp_path / "back"), "--classes", "dark, light"]
    )
    assert done.exit_code == 0, done.output
    assert checkpoint.load(tmp_path / "back").classes == ("dark", "light")


def test_every_weight_has_a_name_of_its_own_there() -> None:
    weights = build.network(changed(net={"resample": "residual"})).state_dict()
    assert sum(value.numel() for value in theirs(weights).values()) == sum(value.numel() for value in weights.values())

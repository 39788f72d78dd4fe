"""Forward processes against the papers: their levels, the network's time input, the levels drawn in training."""

import math

import pytest
import torch
from scipy import integrate, stats

from ddpm.diffusion import process
from ddpm.diffusion.process import Process

CHAIN = process.ddpm(1000, "linear", 1e-4, 0.02)
EXAMPLES = {
    "ddpm": CHAIN,
    "vp-sde": process.vp_sde(1000, 0.1, 20.0),
    "sub-vp-sde": process.sub_vp_sde(1000, 0.1, 20.0),
    "ve-sde": process.ve_sde(1000, 0.01, 50.0),
    "edm": process.edm(1000, 0.002, 80.0, -1.2, 1.2),
    "flow": process.flow(1000),
}
EVEN = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000


@pytest.fixture(params=list(process.PROCESSES))
def each(request: pytest.FixtureRequest) -> Process:
    return EXAMPLES[request.param]


def test_levels_ascend_and_are_positive(each: Process) -> None:
    assert each.sigmas.shape == (1000,)
    assert each.sigmas.dtype == torch.float64
    assert (each.sigmas[1:] > each.sigmas[:-1]).all()
    assert each.sigmas[0] > 0


def test_the_clock_runs_forward(each: Process) -> None:
    time = each.time(each.sigmas)
    assert time.dtype == torch.float32
    assert (time[1:] > time[:-1]).all()


def test_training_draws_rise_with_u(each: Process) -> None:
    drawn = each.draw(EVEN)
    assert (drawn[1:] >= drawn[:-1]).all()
    assert torch.isfinite(each.draw(torch.tensor([0.0], dtype=torch.float64))).all()


def test_the_chain_tells_its_index_and_draws_every_level_alike() -> None:
    assert CHAIN.time(CHAIN.sigmas).tolist() == list(range(1000))
    middle = (CHAIN.sigmas[10] * CHAIN.sigmas[11]).sqrt().view(1)
    assert CHAIN.time(middle).item() == pytest.approx(10.5)
    assert CHAIN.time(torch.tensor([1e-9, 1e9])).tolist() == [0, 999]
    values, counts = CHAIN.draw(EVEN).unique(return_counts=True)
    assert torch.equal(values, CHAIN.sigmas)
    assert set(counts.tolist()) == {100}
    one = process.ddpm(1, "linear", 1e-4, 0.02)
    assert one.time(one.sigmas).tolist() == [0]


def mean_and_spread(name: str, t: float) -> tuple[float, float]:
    """Integrate the paper's SDE for mean and spread of x_t given x_0: d m = -beta m / 2, d v = -beta v + g^2."""

    def beta(s: float) -> float:
        return 0.1 + 19.9 * s

    def slope(s: float, state: list[float]) -> list[float]:
        mean, variance, integral = state
        g2 = beta(s) * (1.0 if name == "vp-sde" else 1 - math.exp(-2 * integral))
        return [-beta(s) * mean / 2, -beta(s) * variance + g2, beta(s)]

    end = integrate.solve_ivp(slope, (0, t), [1.0, 0.0, 0.0], rtol=1e-10, atol=1e-12).y[:, -1]
    return end[0], math.sqrt(end[1])


@pytest.mark.parametrize("name", ["vp-sde", "sub-vp-sde"])
@pytest.mark.parametrize("index", [0, 300, 999])
def test_vp_levels_solve_the_sde(name: str, index: int) -> None:
    t = 1e-3 + (1 - 1e-3) * index / 999
    mean, spread = mean_and_spread(name, t)
    found = EXAMPLES[name]
    assert found.sigmas[index].item() == pytest.approx(spread / mean, rel=1e-6)
    assert found.time(found.sigmas[index : index + 1]).item() == pytest.approx(999 * t, rel=1e-5)


@pytest.mark.parametrize("name", ["vp-sde", "sub-vp-sde"])
def test_sampling_of_a_vp_process_starts_at_unit_variance(name: str) -> None:
    mean, _ = mean_and_spread(name, 1.0)
    assert EXAMPLES[name].prior * mean == pytest.approx(1, rel=1e-4)


def test_vp_sde_is_the_limit_of_the_linear_chain() -> None:
    many = process.ddpm(5000, "linear", 1e-4, 0.02).sigmas
    t = torch.arange(1, 5001, dtype=torch.float64) / 5000
    limit = (0.1 * t + 19.9 * t**2 / 2).expm1().sqrt()
    torch.testing.assert_close(many[100:], limit[100:], rtol=0.01, atol=0)


def test_ve_levels_are_geometric_and_the_clock_even() -> None:
    found = EXAMPLES["ve-sde"]
    assert found.sigmas[[0, -1]].tolist() == pytest.approx([0.01, 50])
    ratios = found.sigmas[1:] / found.sigmas[:-1]
    torch.testing.assert_close(ratios, ratios[0].expand(999))
    torch.testing.assert_close(found.time(found.sigmas), torch.arange(1000.0), rtol=1e-5, atol=1e-3)
    assert found.prior == 50


def test_edm_is_karras_table_1() -> None:
    found = EXAMPLES["edm"]
    i = torch.arange(1000, dtype=torch.float64)
    published = (80 ** (1 / 7) + i / 999 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    torch.testing.assert_close(found.sigmas.flip(0), published)
    logs = found.draw(EVEN).log().numpy()
    assert stats.kstest(logs, "norm", (-1.2, 1.2)).statistic < 1e-4
    torch.testing.assert_close(found.time(found.sigmas), (1000 * found.sigmas.log() / 4).float())


def test_flow_is_a_straight_line_from_image_to_noise() -> None:
    """`x_t = (1 - t) x0 + t eps` (Liu et al. 2023, equation 1): s = 1 - t and s sigma = t; t is even and uniform."""
    found = EXAMPLES["flow"]
    t = torch.linspace(0.001, 0.999, 1000, dtype=torch.float64)
    s = 1 / (1 + found.sigmas)
    torch.testing.assert_close(s, 1 - t)
    torch.testing.assert_close(s * found.sigmas, t)
    torch.testing.assert_close(found.time(found.sigmas), (999 * t).float())
    drawn = found.draw(EVEN)
    assert stats.kstest((drawn / (1 + drawn)).numpy(), "uniform").statistic < 1e-4
    assert found.prior * s[-1].item() == pytest.approx(1, abs=2e-3)
    assert process.flow(1).sigmas.tolist() == pytest.approx([999])

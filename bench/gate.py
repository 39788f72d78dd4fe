"""Promotion rates of the gate, for models that differ only in the training seed and for better models.

    python bench/gate.py

Simulates pairs of models with the variance of 16 trainings of `presets/quick.yaml` that differ in `train.seed`, each
sampled with two series of seeds, in units of the champion's FID. FID of a model varies by SEEDS with the training seed
and by DRAWS with the images; FID of a block depends on it with SLOPE, plus noise that both models share, plus BLOCK.
The rule is the gate's: the interval of the paired differences is below 0, and the gain is at least `min_improvement`.
KID, recall and memorisation, which can only refuse, are omitted. docs/evaluation.md has the table.
"""

import argparse

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ddpm.evaluation import gate

PAIRS = 20_000
BLOCKS = 8
DRAWS, SLOPE, BLOCK, SHARED = 0.033, 1.18, 0.147, 0.3
SEEDS = (0.03, 0.06, 0.12)
GAINS = (0.0, 0.1, 0.2, 0.3, 0.4)
ASKED = (0.02, 0.1, 0.15, 0.25)
CHECKED = 40  # pairs that the gate itself judges

Floats = NDArray[np.float64]


def pairs(seeds: float, gain: float, random: np.random.Generator) -> tuple[Floats, Floats]:
    """FID (PAIRS, 2) and FID of blocks (PAIRS, 2, BLOCKS) of candidate and champion.

    seeds: relative deviation between training seeds; gain: of the candidate's recipe, relative to the champion's.
    """
    true = np.array([1 - gain, 1.0]) * np.exp(seeds * random.normal(size=(PAIRS, 2)))
    fid = true * (1 + DRAWS * random.normal(size=true.shape))
    shared = SHARED * random.normal(size=(PAIRS, 1, BLOCKS))
    own = BLOCK * random.normal(size=(PAIRS, 2, BLOCKS))
    return fid, 3 + SLOPE * true[..., None] + shared + own


def promoted(fid: Floats, blocks: Floats, asked: float, confidence: float = 0.95) -> NDArray[np.bool_]:
    """Decide which candidates are promoted, (PAIRS,)."""
    gaps = blocks[:, 0] - blocks[:, 1]
    reach = stats.t.ppf((1 + confidence) / 2, BLOCKS - 1) * gaps.std(axis=1, ddof=1) / BLOCKS**0.5
    gains = 1 - fid[:, 0] / fid[:, 1]
    return np.asarray((gaps.mean(axis=1) + reach < 0) & (gains >= asked) & (gains > 0))


def agrees_with_gate(fid: Floats, blocks: Floats, asked: float) -> bool:
    """Return True if the gate itself decides the first pairs as `promoted` does."""

    def measured(pair: int, side: int) -> dict[str, object]:
        values = {"fid": blocks[pair, side].tolist()}
        return {
            "fid": float(fid[pair, side]),
            "blocks": {"values": values},
            "conditions": {"weights_sha256": str(side)},
        }

    found = [
        gate.decide(measured(pair, 0), measured(pair, 1), min_improvement=asked).promote for pair in range(CHECKED)
    ]
    return found == promoted(fid, blocks, asked)[:CHECKED].tolist()


def main() -> None:
    """Print the table."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    random = np.random.default_rng(0)
    print("| spread between seeds | required gain | " + " | ".join(f"gain {gain:.0%}" for gain in GAINS) + " |")
    print("|---|---|" + "---:|" * len(GAINS))
    for seeds in SEEDS:
        drawn = [pairs(seeds, gain, random) for gain in GAINS]
        for asked in ASKED:
            if not agrees_with_gate(*drawn[1], asked):
                raise SystemExit(f"the simulation promotes other pairs than the gate (seeds {seeds}, asked {asked})")
            shares = [f"{promoted(*each, asked).mean():.1%}" for each in drawn]
            print(f"| {seeds:.0%} | {asked:.0%} | {' | '.join(shares)} |")


if __name__ == "__main__":
    main()

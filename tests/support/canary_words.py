"""The text of a canary page."""

from ddpm.report.canary import Description

WORDS = Description(
    "digits", 2, 3, "inconclusive", 'FID 3 against the champion\'s "3.1"', {"seeds": "0 to 23", "sampler": "ddim"},
    [("Promote it", "ddpm promote 3")],
)  # fmt: skip

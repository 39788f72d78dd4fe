"""Contexts of comparison pages: a pair with a verdict, and three models with scores."""

from typing import Any

from ddpm.report.model_comparison import Context
from tests.support import made_reports

PAIR = Context(
    "digits: version 3 beside the champion, version 2", ("inconclusive", 'FID 3 against the champion\'s "3.1".'),
    [None, None], {"seeds": "0 to 23", "sampler": "ddim"}, [("Make it champion", "ddpm promote 3")],
)  # fmt: skip
SCORED: dict[str, Any] = made_reports.METRICS | made_reports.MORE
OTHER: dict[str, Any] = SCORED | {"conditions": SCORED["conditions"] | {"count": 500, "weights_sha256": "99" * 32}}
THREE = Context("version 2 beside version 3, ema-0.1", ("", ""), [SCORED, OTHER, None], {"seeds": "0 to 23"}, [])

"""Contexts of comparison pages: a pair with a verdict, and three models with scores."""

from dataclasses import replace
from typing import Any

from ddpm.evaluation.score_record import ScoreRecord
from ddpm.report.model_comparison import Context
from tests.support import made_reports

PAIR = Context(
    "digits: version 3 compared with the champion, version 2", ("inconclusive", 'FID 3 against the champion\'s "3.1".'),
    [None, None], {"seeds": "0 to 23", "sampler": "ddim"}, [("Promote it", "ddpm promote 3")],
)  # fmt: skip
SCORED: dict[str, Any] = made_reports.METRICS | made_reports.MORE
RECORD = ScoreRecord.from_json(SCORED)
OTHER = replace(RECORD, conditions={**RECORD.conditions, "count": 500, "weights_sha256": "99" * 32})
THREE = Context("version 2 compared with version 3, ema-0.1", ("", ""), [RECORD, OTHER, None], {"seeds": "0 to 23"}, [])

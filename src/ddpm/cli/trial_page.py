"""The page of a result of `ddpm try`: draws samples of all models from equal seeds, and writes the file."""

from pathlib import Path
from typing import TYPE_CHECKING

from ddpm.common import terminal

if TYPE_CHECKING:
    from ddpm.cli.compare import Compared
    from ddpm.report.trial_page import Context, Judged
    from ddpm.trials.records import Record
    from ddpm.trials.request import Result

MOST_MODELS = 8
"""Models on the page; rows of more would be too small."""


def write(result: "Result", out: Path, count: int, device: str) -> None:
    """Draw `count` images of each model from seeds 0, 1, ... and write the page; without two models, do nothing."""
    from ddpm.cli import compare
    from ddpm.common import files
    from ddpm.config import params
    from ddpm.report import trial_page

    models = _models(result)
    if len(models) < 2:
        return
    batch = params.load().sample.batch
    try:
        drawn, weights = compare.draw(models, batch, count, 0, device)
    except ValueError as error:  # another resolution or other classes
        terminal.echo(f"there is no page: {error}")
        return
    conditions = compare.conditions_of(models, weights, 0, count)
    files.write_text(out, trial_page.page(drawn, _context(result, [each.name for each in models], conditions)))
    terminal.echo(f"{out}: open it in a browser")


def _models(result: "Result") -> "list[Compared]":
    """The champion, if there is one, and the first seed of each variant."""
    from ddpm import registry
    from ddpm.cli import compare
    from ddpm.config import params
    from ddpm.trials import records

    found = []
    if result.champion is not None:
        settings = params.load()
        version = registry.version(settings.promote.name, result.champion.number)
        found.append(compare.of_version(version, settings.sample, result.champion.name))
    for label, group in list(result.groups.items())[: MOST_MODELS - len(found)]:
        sample = params.parse(dict(group[0].values), complete=False).sample
        guide = Path(sample.guide) if sample.guide else None
        found.append(compare.Compared(label, group[0].folder / records.MODEL, sample.sampling, guide, None))
    return found


def _context(result: "Result", names: list[str], conditions: dict[str, str]) -> "Context":
    from ddpm.report import scores
    from ddpm.report.trial_page import Context, Line
    from ddpm.trials import records, speed
    from ddpm.trials import rows as trial_rows

    rows = trial_rows.rows(result)[:MOST_MODELS]
    extractor = next((each.extractor for each in rows if each.extractor), "")
    lines = [Line(key, "", "", values[:MOST_MODELS]) for key, values in trial_rows.changed(result).items()]
    lines += [
        Line(f"{kind.name} {extractor}" if kind.key == "fid" else kind.name, *scores.ARROWS[kind.better],
             [each.scores[kind.key] for each in rows])
        for kind in scores.KINDS
    ]  # fmt: skip
    lines += [Line("Training time", "", "", [each.seconds for each in rows]),
              Line("Training images per second", "", "", [each.rate for each in rows])]  # fmt: skip
    curves = {
        label: _curve(speed.heldout_of(group[0].folder / records.HELDOUT)) for label, group in result.groups.items()
    }
    if result.champion is not None:
        curves = {result.champion.name: _curve(speed.heldout(result.champion.digest)), **curves}
    tried = [each for each in result.finished if each.changes]
    return Context(
        _title(result),
        names,
        _judged(result),
        [each for each in lines if any(each.values)],
        f"± is the 95% interval {trial_rows.interval(result)}",
        trial_rows.unequal(result),
        curves,
        conditions | trial_rows.parameters(result),
        [_next(each) for each in tried] + [("Remove a trial; nothing else changes", "ddpm try --drop NAME")],
    )


def _next(record: "Record") -> tuple[str, str]:
    from ddpm.trials.plan import arguments

    if record.budget != 1:
        return f"Train {record.short} in full", f"ddpm try {arguments(record.changes)}"
    return f"Keep {record.short}, seed {record.seed}", f"ddpm try --keep {record.name}"


def _title(result: "Result") -> str:
    tried = [label for label, group in result.groups.items() if group[0].changes]
    if len(tried) == 1:
        return f"{tried[0]}: is it better?"
    return f"{', '.join(tried[:3])}{f' and {len(tried) - 3} more' if len(tried) > 3 else ''}: which is better?"


def _judged(result: "Result") -> "list[Judged]":
    """The verdicts, the best first: a promotion before all else, then the lower FID; before them those of all seeds."""
    from ddpm.report.trial_page import Judged
    from ddpm.trials import rows as trial_rows

    found = [each for each in result.finished if each.verdict]
    found.sort(key=lambda each: (not each.verdict["promote"], each.scores.fid or 0.0))
    groups = [
        Judged(f"{label}, {len(group)} seeds", "plain", "all seeds together", text)
        for label, group in result.groups.items()
        if (text := trial_rows.combined(group))
    ]
    return groups + [_verdict(each, several=result.request.seeds > 1) for each in found]


def _verdict(record: "Record", *, several: bool) -> "Judged":
    """Describe the verdict of a trial. several: whether its variant has several seeds."""
    from ddpm.report.model_comparison import tone
    from ddpm.report.trial_page import Judged

    outcome = record.verdict["verdict"]
    against = f" than the {record.against}" if outcome in {"better", "worse"} else f", against the {record.against}"
    name = f"{record.short}, seed {record.seed}" if several else record.short
    return Judged(name, tone(outcome), f"{outcome}{against}", "; ".join(record.verdict["reasons"]))


def _curve(rows: list[dict[str, float]]) -> list[tuple[float, float]]:
    from ddpm.metrics import loss_gap

    return [(row["images"], row[loss_gap.column("heldout")]) for row in rows]

"""`ddpm prune`: nothing is deleted with --dry-run, and params.yaml has the default."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ddpm import registry
from ddpm.cli import app
from tests.support import candidates, changed_params

NAME = ["--name", "digits"]


@pytest.fixture(autouse=True)
def runs(project: Path) -> list[str]:
    """Version 1 is champion, 2 and 3 are rejected, 4 is candidate."""
    found = candidates.judged("digits", "first", "worse", "inconclusive", "worse")
    registry.promote("digits", 1, why="first", expected_champion=None)
    return found


def prune(*arguments: str) -> Result:
    result = CliRunner().invoke(app, ["prune", *NAME, *arguments], env={"COLUMNS": "80"})
    assert "Traceback" not in result.output
    return result


def numbers() -> list[int]:
    return sorted(each.number for each in registry.status("digits").versions)


def test_rejected_candidates_are_listed_with_number_size_and_age_or_deleted(runs: list[str]) -> None:
    listed = prune("--rejected-days", "0", "--dry-run").output
    assert "2 rejected candidates to delete:" in listed
    assert "0 days old" in listed
    assert " bytes" in listed
    assert {line.split()[0] for line in listed.splitlines() if line[:1].isdigit()} == {"2", "3"}
    assert max(map(len, listed.splitlines())) <= 80
    assert numbers() == [1, 2, 3, 4]
    assert all(map(candidates.exists, runs))
    deleted = prune("--rejected-days", "0").output
    assert "2 rejected candidates deleted:" in deleted
    assert numbers() == [1, 4]
    assert [candidates.exists(each) for each in runs] == [True, False, False, True]
    assert "no candidate was rejected more than 0 days ago" in prune("--rejected-days", "0").output


def test_old_versions_are_listed_or_deleted(runs: list[str]) -> None:
    assert prune("--keep", "1", "--dry-run").output == "digits: versions to delete: 2\n"
    assert numbers() == [1, 2, 3, 4]
    assert prune("--keep", "1").output == "digits: versions deleted: 2\n"
    assert numbers() == [1, 3, 4]
    assert all(map(candidates.exists, runs))


def test_the_days_are_those_of_params_yaml() -> None:
    changed_params.write(flow__rejected_days=None)
    result = prune()
    assert result.exit_code == 1
    assert "flow.rejected_days is null" in result.stderr
    changed_params.write(flow__rejected_days=30.0)
    assert "no candidate was rejected more than 30 days ago" in prune().output
    changed_params.write(flow__rejected_days=0.0)
    assert "2 rejected candidates to delete" in prune("--dry-run").output


def test_only_one_kind_at_a_time() -> None:
    assert prune("--keep", "1", "--rejected-days", "1").exit_code == 2
    assert prune("--rejected-days", "-1").exit_code == 2

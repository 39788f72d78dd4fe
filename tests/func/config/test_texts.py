"""A schedule and a branch are refused by params.yaml exactly where Prefect and git would refuse them later."""

import random
import subprocess
from datetime import datetime

import pytest

from ddpm.config.sections import texts

PARTS = (
    "*", "*/5", "0", "3", "1-5", "59", "60", "31", "L", "?", "MON", "jan", "1,2", "*/0", "a", "5#1", "7", "0-7", "1-70",
    "1/3", "-1", "5-1", "*/70", "1-5/2", "2", "29", "30", "LW", "5L", "sun", "L5", "#", "6#5", "15W",
)  # fmt: skip
SCHEDULES = ("0 3 * * *", "*/15 * * * *", "0 3 * * mon-fri", "0 22-3 * * *", "0 3 L * *", "0 3 ? * 5#3", "0 0 29 2 *")


@pytest.mark.parametrize("text", [*SCHEDULES, *texts.NAMED])
def test_schedules_that_are_taken(text: str) -> None:
    assert texts.cron(text) == text
    _prefect(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "often", "0 3 * *", "0 0 3 * * *", "60 3 * * *", "0 24 * * *", "*/0 * * * *", "0 0 30 2 *",
     "0 0 31 4,6 *", "@reboot", "0 3 * * 8", "0 3 * * 5L", "H 3 * * *", "0 3 * * *; true", "١ 3 * * *", "0 3 * *\n*"],
)  # fmt: skip
def test_schedules_that_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a cron schedule") as error:
        texts.cron(text)
    assert "\n" not in str(error.value)


def test_what_is_taken_is_taken_by_prefect_and_comes_due() -> None:
    chance, taken = random.Random(0), 0
    for _ in range(8000):
        text = " ".join(chance.choice(PARTS) for _ in range(chance.choice((5, 5, 5, 4, 6))))
        try:
            texts.cron(text)
        except ValueError:
            continue
        _prefect(text)
        taken += 1
    assert taken > 50


def _prefect(text: str) -> None:
    """Parse a schedule as Prefect's server does."""
    from prefect._internal.schemas.validators import validate_cron_string
    from prefect._vendor.croniter import croniter

    croniter(validate_cron_string(text), datetime(2024, 1, 1)).get_next()


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("retrain", True), ("a/b", True), ("a.b", True), ("a-b_c", True), ("a..b", False), ("a//b", False),
        ("a/", False), ("a.", False), ("a.lock", False), ("a.lock/b", False),
        ("a/.b", False), ("HEAD", False), ("a.lockx", True),
    ],
)  # fmt: skip
def test_a_branch_is_taken_where_git_takes_it(text: str, taken: bool) -> None:
    done = subprocess.run(["git", "check-ref-format", "--branch", text], capture_output=True, check=False)
    assert (done.returncode == 0) == taken
    if taken:
        assert texts.branch(text) == text
        return
    with pytest.raises(ValueError, match="is not a valid branch name"):
        texts.branch(text)


def test_no_branch_is_a_choice() -> None:
    assert texts.branch("") == ""

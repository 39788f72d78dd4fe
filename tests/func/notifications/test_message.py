"""The content of messages."""

import datetime
import json
from typing import Any

import pytest

from ddpm.notifications import champion_moved, message
from ddpm.registry import Move
from tests.support.receiving import SECRET

WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def moved(kind: str, changed: bool = True) -> Move:
    return Move("digits", 3, kind, 2, 1, "ann@desk", WHEN, "sixes upside down", "done", "run", changed)  # type: ignore[arg-type]


def data(of: Any) -> Any:
    return json.loads(of.body)["data"]


def test_a_message_has_type_time_and_data_as_standard_webhooks_recommend() -> None:
    made = message("promoted", "digits", "x", version=2, champion=None)
    content = json.loads(made.body)
    assert list(content) == ["type", "timestamp", "data"]
    assert content["type"] == made.type == "ddpm.promoted"
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(content["timestamp"])
    assert datetime.timedelta(0) <= age < datetime.timedelta(minutes=1)
    assert content["data"] == {"model": "digits", "text": "x", "version": 2}


def test_identifiers_differ_and_have_no_full_stop_unless_one_is_given() -> None:
    first, second = message("test", "", "x"), message("test", "", "x")
    assert first.id != second.id
    assert "." not in first.id
    assert message("test", "", "x", identifier="1").id == "1"


def test_a_manual_move_names_origin_user_and_reason() -> None:
    back, forth = champion_moved(moved("rollback")), champion_moved(moved("promote"))
    assert back is not None
    assert forth is not None
    assert (back.type, forth.type) == ("ddpm.rolled-back", "ddpm.promoted")
    known = data(back)
    assert (known["version"], known["before"], known["who"]) == (1, 2, "ann@desk")
    assert known["reasons"] == ["sixes upside down"]
    assert champion_moved(moved("rollback", changed=False)) is None


def test_secrets_are_removed_from_all_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDPM_WEBHOOK_SECRET", SECRET)
    made = message(
        "failed", f"m {SECRET}", 'no "https://h/x?sig=hunter2": 403', reasons=[f"a {SECRET}", {SECRET: SECRET}]
    )
    assert "hunter2" not in str(made)
    assert SECRET not in str(made)
    assert "<DDPM_WEBHOOK_SECRET>" in data(made)["reasons"][0]


def test_a_text_is_cut_after_redaction() -> None:
    """A truncated password would not be recognised."""
    text = "x" * 7970 + " https://ann:hunter2" + "h" * 40 + "@store/"
    assert "hunter2" not in data(message("failed", "", text))["text"]
    assert len(data(message("failed", "", "x " * 8000))["text"]) == 8000


def test_names_that_are_not_utf_8_are_sent() -> None:
    name = b"caf\xe9.png".decode(errors="surrogateescape")
    assert data(message("failed", "", name))["text"] == name


def test_values_that_are_not_json_are_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        _ = message("failed", "", "x", fid=float("nan")).body

"""`ddpm notify` before it sends anything."""

import pytest
from typer.testing import CliRunner

from ddpm.cli import app
from tests.func.cli.conftest import ROOT


@pytest.fixture(autouse=True)
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for name in ("DDPM_WEBHOOK_URL", "DDPM_WEBHOOK_SECRET"):
        monkeypatch.delenv(name, raising=False)


def test_without_an_address_nothing_can_be_sent() -> None:
    done = CliRunner().invoke(app, ["notify", "--test"])
    assert done.exit_code == 1
    assert "DDPM_WEBHOOK_URL is not set" in done.output


def test_an_address_without_a_secret_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DDPM_WEBHOOK_URL", "https://chat.example.org/hooks/ddpm")
    done = CliRunner().invoke(app, ["notify", "--test"])
    assert done.exit_code == 1
    assert "DDPM_WEBHOOK_SECRET" in done.output


def test_it_does_nothing_unless_asked() -> None:
    assert CliRunner().invoke(app, ["notify"]).exit_code == 2

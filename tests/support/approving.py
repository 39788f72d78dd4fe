"""Three versions, a flow that asks for approval, and the ways to answer."""

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typer.testing import CliRunner

from ddpm import registry
from ddpm.cli import app
from ddpm.config import params
from ddpm.evaluation import gate
from ddpm.registry import approval as questions
from tests.support.receiving import SECRET, Receiver, receiver

NAME = "digits"


ROOT = Path(__file__).parents[2]


PATIENCE = 240


BETTER = gate.Verdict("better", True, ("FID 3 against 4",), ())


ASKING = """\
import sys
from prefect import flow
from tests.support.approving import judged
flow(name="judging", persist_result=False)(judged)(float(sys.argv[1]))
"""


def judged(hours: float) -> gate.Verdict:
    """The part of flows.promotion after the gate, for version 2 against version 1."""
    from flows import approval, promotion
    from flows.tasks import candidate

    settings = params.load(ROOT / "params.yaml").promote.model_copy(
        update={"approval": "person", "approval_hours": hours}
    )
    verdict = approval.apply_approval(settings, NAME, 2, BETTER, 1)
    if verdict.promote:
        promotion._step("promote", candidate.move, NAME, 2, verdict, 1, approval.evidence(NAME, 2, 1))
    return verdict


@contextlib.contextmanager
def notified(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver, configured in the environment."""
    with receiver() as web:
        monkeypatch.setenv("DDPM_WEBHOOK_URL", web.url)
        monkeypatch.setenv("DDPM_WEBHOOK_SECRET", SECRET)
        yield web


Asked = Callable[..., "Future[Any]"]


def asked(name: str, number: int) -> questions.Question | None:
    """The question, or None if there is no such version or question yet."""
    with contextlib.suppress(registry.RegistryError):
        return questions.question(name, number)
    return None


def paused(name: str = NAME, number: int = 2, before: int = 0, by: "Future[Any] | None" = None) -> UUID:
    """The run that shows the form, once it is paused, after `before` earlier runs that asked the question."""
    from prefect.client.orchestration import get_client

    deadline = time.monotonic() + PATIENCE
    with get_client(sync_client=True) as client:
        while time.monotonic() < deadline and not (by and by.done()):
            known = asked(name, number)
            if known and len(known.runs) > before:
                state = client.read_flow_run(UUID(known.runs[-1])).state
                if state and state.is_paused():
                    return UUID(known.runs[-1])
            time.sleep(0.1)
    raise AssertionError(f"no run is paused: {by.exception() if by and by.done() else ''}")


def resumed(run: UUID, **filled: str) -> Any:
    """Submit the form as Prefect's page does."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return client.resume_flow_run(run, run_input=filled)


def verdict_of(future: "Future[Any]") -> gate.Verdict:
    found: gate.Verdict = future.result(PATIENCE).result()
    return found


def champion() -> int:
    return registry.status(NAME).aliases["champion"]


def ddpm(*arguments: str) -> None:
    done = CliRunner().invoke(app, [*arguments, "--name", NAME])
    assert done.exit_code == 0, done.output


def state_of(run: UUID) -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        state = client.read_flow_run(run).state
    assert state is not None
    return str(state.name)

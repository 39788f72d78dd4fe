"""The registry lock of flows on a real Prefect server, between machines that share a tracking server."""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import pytest

from ddpm import registry
from ddpm.common.locks import LockBusyError
from ddpm.evaluation.gate import Verdict
from ddpm.registry import lock
from tests.support import machines
from tests.support.machines import NAME, Start, go, said, trail, versions

pytestmark = [pytest.mark.usefixtures("prefect"), pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[3]
LIMIT = f"registry-{NAME}"


@pytest.fixture
def database(project: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", machines.shared_database(project, empty_database))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A function that starts a program as on another machine with the same Prefect server."""
    from prefect.settings import get_current_settings

    api = str(get_current_settings().api.url)
    with machines.machines(tmp_path, PREFECT_API_URL=api, PYTHONPATH=f"{ROOT / 'src'}:{ROOT}") as start:
        yield start


TAKER = """
from flows.registry_lock import registry_lock
print("ready", flush=True)
sys.stdin.readline()
for _ in range(3):
    with registry_lock("digits") as held:
        with open("inside", "x"):  # fails where another one is inside
            held.require()
            time.sleep(0.2)
        os.unlink("inside")
print("done", flush=True)
"""


def test_flows_on_two_machines_take_turns(database: None, start: Start) -> None:
    takers = [start(TAKER, f"machine{number}") for number in range(2)]
    go(*takers)
    assert [said(each) for each in takers] == ["done"] * 2


HOLDER = """
from prefect import flow
from flows.registry_lock import registry_lock
@flow(name="holding", flow_run_name="holding")
def hold():
    with registry_lock("digits"):
        print("ready", flush=True)
        sys.stdin.readline()
hold()
"""


def test_a_running_holder_is_waited_for_and_its_run_is_named(
    database: None, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flows.registry_lock import registry_lock

    holder = start(HOLDER, "elsewhere")
    assert said(holder) == "ready"
    monkeypatch.setattr(lock, "PATIENCE", 1.0)
    told = rf"changing {NAME} in the registry: .* {LIMIT} .*running there: .*holding \("
    with pytest.raises(LockBusyError, match=told), registry_lock(NAME):
        pass
    monkeypatch.setattr(lock, "PATIENCE", 600.0)
    machines.release(holder)
    with registry_lock(NAME) as held:
        held.require()


PAUSED = """
from prefect.concurrency.context import ConcurrencyContext
from flows.registry_lock import registry_lock
move = aliases._move_aliases
def pause(*arguments):
    print(ConcurrencyContext.get().cleanup_lease_ids[0], flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
    move(*arguments)
aliases._move_aliases = pause
try:
    registry.promote("digits", 2, why="slow", expected_champion=1, lock=registry_lock)
except lock.LostLockError as error:
    print(error)
"""


def end(lease: UUID) -> None:
    """End a lease as the server does when it expires; test_service.py tests that for the GPU slot."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.release_concurrency_slots_with_lease(lease)


def test_a_holder_suspended_beyond_its_lease_is_overtaken_and_writes_nothing_more(
    database: None, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ddpm.registry import aliases
    from flows.registry_lock import registry_lock

    monkeypatch.setattr(aliases, "GRACE", 1.0)
    versions(3)
    paused = start(PAUSED, "elsewhere")
    end(UUID(said(paused)))
    with pytest.raises(registry.ConflictError, match="is version 2 now"):
        registry.promote(NAME, 3, why="quick", expected_champion=1, lock=registry_lock)
    registry.promote(NAME, 3, why="quick", expected_champion=2, lock=registry_lock)
    before = trail()
    paused.send_signal(signal.SIGCONT)
    assert "lost its lock on digits" in said(paused)
    assert dict(registry.status(NAME).aliases) == {"champion": 3, "previous": 2}
    assert trail() == before == [(None, 1, "done"), (1, 2, "done"), (2, 3, "done")]


def lose_the_lease() -> None:
    """End the lease of this process."""
    from prefect.concurrency.context import ConcurrencyContext

    granted = ConcurrencyContext.get()
    assert granted is not None
    end(granted.cleanup_lease_ids[0])


def slots_held() -> int:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        return int(client.read_global_concurrency_limit_by_name(LIMIT).active_slots)


def test_a_lost_lease_is_detected_before_the_next_write(database: None) -> None:
    from flows.registry_lock import registry_lock

    with registry_lock(NAME) as held:
        held.require()
        assert slots_held() == 1
        lose_the_lease()
        with pytest.raises(lock.LostLockError, match="lost its lock on digits: its lease of Prefect's server ended"):
            held.require()
    assert slots_held() == 0


def test_a_lost_lease_ends_long_work(database: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long work is, for example, the upload of a model between two writes."""
    from prefect.concurrency import _leases

    from flows.registry_lock import registry_lock

    monkeypatch.setattr(_leases, "_RENEWAL_FRACTION", 0.01)

    def work() -> None:
        with registry_lock(NAME):
            lose_the_lease()
            while True:
                time.sleep(0.1)

    with pytest.raises(lock.LostLockError, match="its lease of Prefect's server ended"):
        work()
    assert slots_held() == 0


def test_the_slot_is_free_after_an_error(database: None) -> None:
    from flows.registry_lock import registry_lock

    def work() -> None:
        with registry_lock(NAME):
            assert slots_held() == 1
            raise TimeoutError("of the block")

    with pytest.raises(TimeoutError, match="of the block"):
        work()
    assert slots_held() == 0


def test_an_embedded_record_uses_no_server(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows import concurrency
    from flows.registry_lock import registry_lock

    monkeypatch.delattr(concurrency, "hold_slot")
    with registry_lock(NAME) as held:
        held.require()


def move() -> object:
    from flows.tasks import candidate

    better = Verdict("better", True, ("FID 3 against 4",), ())
    registry.save_evidence(NAME, 2, {"verdict": better.as_json()})
    return candidate.move(NAME, 2, better, 1, {})


def register() -> object:
    from flows.tasks import candidate

    return candidate.register(NAME, "run", {})


def force_promote() -> object:
    from flows.service import deployments

    return deployments.promote(2, "better")


def rollback() -> object:
    from flows.service import deployments

    return deployments.rollback(2, "worse")


def approve() -> object:
    from flows import approval

    return approval.wait_for_approval(NAME, 2, 1, 1.0, ["better"])


@pytest.mark.parametrize("act", [move, register, force_promote, rollback, approve])
def test_flows_change_the_registry_only_with_the_lease(
    database: None, project: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]
) -> None:
    from ddpm.config import params
    from flows import concurrency, run_liveness
    from flows.tasks import candidate

    monkeypatch.setattr(run_liveness, "hold_liveness_lock", lambda: None)
    monkeypatch.setattr(params, "model_name", lambda: NAME)
    monkeypatch.setattr(candidate, "MODEL", tiny_checkpoint)
    monkeypatch.setattr(lock, "PATIENCE", 0.5)
    versions(2)
    before = registry.history(NAME), registry.status(NAME).aliases
    with concurrency.hold_slot(LIMIT, lease=60), pytest.raises(LockBusyError, match=LIMIT):
        act()
    assert (registry.history(NAME), registry.status(NAME).aliases) == before

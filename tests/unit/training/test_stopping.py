"""A training that is asked to stop, at the moments at which it could be missed."""

import signal
from collections.abc import Iterator

import pytest

from ddpm.training.data_parallel import ProcessGroup
from ddpm.training.stopping import StopRequest


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Put pytest's own back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class SignalledWhileComparing(ProcessGroup):
    """Two processes that have just agreed on nothing when the signal comes."""

    def all_reduce_max(self, value: int) -> int:
        signal.raise_signal(signal.SIGTERM)
        return value


def test_a_signal_that_comes_while_the_processes_compare_theirs_is_heard_at_the_next_step() -> None:
    request, group = StopRequest(), SignalledWhileComparing(0, 2)
    assert not request.agreed(group)
    assert request.agreed(ProcessGroup())
    assert request.signal == signal.SIGTERM


class OtherAsked(ProcessGroup):
    def all_reduce_max(self, value: int) -> int:
        return max(value, signal.SIGINT)


def test_the_request_of_another_process_is_this_ones_too() -> None:
    request = StopRequest()
    assert request.agreed(OtherAsked(1, 2))
    assert request.signal == signal.SIGINT

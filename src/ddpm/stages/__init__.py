"""The stages that DVC runs, each as `python -m ddpm.stages.NAME` in the project's folder.

A stage reads parameters, calls the library and writes its outputs. It imports the library inside its functions, so that
an interrupt is handled here from the first moment on, while torch is being imported too.
"""

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext


def run(
    main: Callable[..., None],
    *,
    arguments: Sequence[str] = (),
    shared: bool = False,
    processes: Callable[[], int] | None = None,
) -> None:
    """Run a stage; an error meant for users ends it with one message instead of a traceback, and status 1.

    Its code must be that of the current folder, and its inputs must be the same at its end as at its start. Ctrl-C
    ends it with status 130, unless the stage handles it.

    arguments: the names of its arguments on the command line, which `main` is called with; others are refused.
    shared: several processes, started by torchrun, may share its work. processes: how many to start; above one, the
    stage starts itself again by torchrun, unless torchrun has started it already.
    """
    try:
        _run(main, _parsed(main, arguments), shared, processes)
    except KeyboardInterrupt:
        sys.exit(130)


def _parsed(main: Callable[..., None], names: Sequence[str]) -> list[str]:
    """Read the command line; --help and whatever is unknown end the process here."""
    import argparse

    module = sys.modules[main.__module__]
    prog = f"python -m {module.__spec__.name}" if module.__spec__ else None
    parser = argparse.ArgumentParser(
        prog, description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in names:
        parser.add_argument(name)
    chosen = vars(parser.parse_args())
    return [chosen[name] for name in names]


def _run(
    main: Callable[..., None], arguments: Sequence[str], shared: bool, processes: Callable[[], int] | None
) -> None:
    from ddpm.common import environment, faults, terminal
    from ddpm.common.files import DiskFullError
    from ddpm.provenance import checkout
    from ddpm.runtime import torchrun
    from ddpm.runtime.allocator import keep_freed_memory
    from ddpm.runtime.parent import die_with_parent

    die_with_parent()
    keep_freed_memory()
    environment.complete()
    try:
        checkout.enter_experiment()
        checkout.require_own_code()
        if not shared and int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise ValueError("this stage is the work of one process: start it without torchrun")
        with _unchanged_inputs(main):
            count = 1 if processes is None or torchrun.by_torchrun() else processes()
            if count > 1:
                torchrun.start(module_name(main), count)
            else:
                main(*arguments)
    except (ValueError, FileNotFoundError, DiskFullError) as error:
        terminal.error(faults.exhausted(error) or error)
        sys.exit(1)
    except (MemoryError, OSError, RuntimeError) as error:
        if not (lacking := faults.exhausted(error)):
            raise
        terminal.error(lacking)
        sys.exit(1)


def _unchanged_inputs(main: Callable[..., None]) -> AbstractContextManager[None]:
    """Hold the stage's inputs, in the first of several processes; a program that is not a module is not a stage."""
    from ddpm.provenance import inputs
    from ddpm.runtime.process_start import process_start

    spec = sys.modules[main.__module__].__spec__
    if spec is None or os.environ.get("RANK", "0") != "0":
        return nullcontext()
    return inputs.unchanged(spec.name.rpartition(".")[2], started=process_start())


def module_name(main: Callable[..., None]) -> str:
    """The module that was started with `python -m`."""
    spec = sys.modules[main.__module__].__spec__
    if spec is None:
        raise ValueError("start a stage as `python -m ddpm.stages.NAME`: it has to start itself again")
    return spec.name

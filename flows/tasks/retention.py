"""Deletion of rejected candidates that are older than flow.rejected_days."""

from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from flows.registry_lock import registry_lock
from flows.tasks.outcome import finish


@task(name="prune", task_run_name="prune", cache_policy=NO_CACHE, persist_result=False)
def prune(name: str, days: float) -> Any:
    """Delete the candidates of a model that were rejected more than `days` days ago, with their MLflow runs.

    The final state is Postponed if the record or a lock is not available: the result of the run stands, and the next
    run deletes them.
    """
    from ddpm import registry, tracking

    try:
        with tracking.friendly_errors():
            deleted = registry.prune_rejected(name, days, lock=registry_lock)
    except (ValueError, OSError) as error:
        get_run_logger().warning("rejected candidates were not deleted: %s", error)
        return finish("prune", "Postponed", f"rejected candidates were not deleted: {error}")
    if not deleted:
        return finish("prune", "Cached", f"no candidate was rejected more than {days:g} days ago")
    return finish("prune", "Completed", registry.summarise_rejected(deleted, deleted=True))

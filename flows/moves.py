"""The path under which deployments made before 0.2 recorded `promote` and `rollback`; they still run."""

from flows.service.deployments import promote, rollback

__all__ = ["promote", "rollback"]

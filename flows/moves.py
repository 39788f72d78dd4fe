"""`promote` and `rollback` under the path that older deployments have recorded as their entry point."""

from flows.service.deployments import promote, rollback

__all__ = ["promote", "rollback"]

"""Checks of DVC's settings, the project's and the user's, that affect imported images."""

from typing import Any

LINKS = "symlink"


def refuse_links() -> None:
    """Raise ValueError if DVC would create links to its cache in place of images, which `prepare` refuses.

    `.dvc/config` sets `cache.type`, so only `.dvc/config.local` can override it, not the user's global settings.
    """
    kinds = _settings()["cache"].get("type") or []
    if LINKS in ([kinds] if isinstance(kinds, str) else kinds):
        raise ValueError(
            "DVC is set to create symbolic links in `data` (cache.type), and links that lead out of it are refused. "
            "Nothing was changed. Set for this project: `dvc config --local cache.type reflink,hardlink,copy`."
        )


def outside_remote() -> str:
    """Return a note if the default remote is set outside the project, in the user's or the system's settings."""
    name = _settings()["core"].get("remote")
    if not name or any(_settings(level)["core"].get("remote") for level in ("repo", "local")):
        return ""
    return (
        f"your own DVC settings (`dvc config --global --list`) name the default remote {name}: `dvc push` and "
        "retraining runs send this project's images and models there. To use another: "
        "`dvc remote default --local NAME`"
    )


def _settings(level: str | None = None) -> Any:
    """Read DVC's merged settings, or those of one level. Raises ValueError."""
    from dvc.config import Config
    from dvc.exceptions import DvcException

    try:
        return Config.from_cwd() if level is None else Config.from_cwd(validate=False).load_one(level)
    except DvcException as error:
        raise ValueError(f"DVC's settings cannot be read: {error}. See `dvc config --list --show-origin`.") from error

"""What DVC's own settings, the project's and a person's, mean for images that come into this project."""

from typing import Any

LINKS = "symlink"


def refuse_links() -> None:
    """Raises ValueError when DVC would put links to its cache in place of images, which `prepare` refuses.

    A person's general settings do not matter here: `.dvc/config` says `cache.type`, and only `.dvc/config.local` is
    stronger.
    """
    kinds = _settings()["cache"].get("type") or []
    if LINKS in ([kinds] if isinstance(kinds, str) else kinds):
        raise ValueError(
            "DVC is set to put symbolic links into `data` (cache.type), and links that lead out of it are refused. "
            "Nothing was changed. Set, for this project: `dvc config --local cache.type reflink,hardlink,copy`."
        )


def outside_remote() -> str:
    """A note when the default remote is named outside of the project, in a person's or the system's settings."""
    name = _settings()["core"].get("remote")
    if not name or any(_settings(level)["core"].get("remote") for level in ("repo", "local")):
        return ""
    return (
        f"your own DVC settings (`dvc config --global --list`) name the default remote {name}: `dvc push` and "
        "retraining runs send this project's images and models there. For another one: "
        "`dvc remote default --local NAME`"
    )


def _settings(level: str | None = None) -> Any:
    """All settings of DVC merged, or those of one level alone. Raises ValueError."""
    from dvc.config import Config
    from dvc.exceptions import DvcException

    try:
        return Config.from_cwd() if level is None else Config.from_cwd(validate=False).load_one(level)
    except DvcException as error:
        raise ValueError(f"DVC's settings cannot be read: {error}. See `dvc config --list --show-origin`.") from error

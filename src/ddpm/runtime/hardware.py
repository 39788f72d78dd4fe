"""Hardware of this machine, detected without importing torch."""

from pathlib import Path


def gpu_present() -> bool:
    """Return True if this machine has a GPU."""
    return any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/kfd"))

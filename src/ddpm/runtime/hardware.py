"""Hardware of this machine, detected without importing torch."""

from pathlib import Path


def gpu_present() -> bool:
    """Return True if this machine has a GPU."""
    return any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/kfd"))


CPU_INFO = Path("/proc/cpuinfo")
BF16_FLAGS = ("amx_bf16", "avx512_bf16")
"""Instructions that multiply bf16 matrices, fastest first, as Linux names them."""


def bf16_instructions() -> str:
    """The fastest of BF16_FLAGS that this CPU has; empty if it has none or the system does not tell (other than Linux).

    Assumes equal cores: only the first one is read.
    """
    try:
        lines = CPU_INFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    flags = next((line.partition(":")[2].split() for line in lines if line.startswith("flags")), [])
    return next((name for name in BF16_FLAGS if name in flags), "")

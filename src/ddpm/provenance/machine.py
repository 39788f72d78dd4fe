"""Properties of the machine that decide if a training can be reproduced bit for bit."""

import platform
import sys
from pathlib import Path

MACHINE_TAGS = (
    "ddpm.cpu",
    "ddpm.instructions",
    "ddpm.threads",
    "ddpm.device",
    "ddpm.torch",
    "ddpm.python",
)


def machine(device: str) -> dict[str, str]:
    """Return the tags `MACHINE_TAGS` of this process, which computes on `device` (`cpu`, `cuda`)."""
    import torch

    on_gpu = device.startswith("cuda")
    values = (
        f"{platform.machine()} {_processor()}".strip(),
        torch.backends.cpu.get_cpu_capability(),
        str(torch.get_num_threads()),
        f"cuda {torch.cuda.get_device_name(device)}" if on_gpu else device,
        torch.__version__,
        ".".join(map(str, sys.version_info[:3])),
    )
    return dict(zip(MACHINE_TAGS, values, strict=True))


def _processor() -> str:
    """Return the CPU model, if known."""
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()

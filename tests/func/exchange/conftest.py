"""diffusers copies the modules that folders bring: into a folder of the tests. It reads where when it is imported."""

import os
import tempfile

_MODULES = tempfile.TemporaryDirectory(prefix="ddpm-hf-modules-")
os.environ["HF_MODULES_CACHE"] = _MODULES.name

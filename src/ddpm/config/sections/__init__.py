"""The sections of params.yaml: keys with types and ranges, and the rules within each section.

Frozen and strict: no unknown keys, no conversions, no changes afterwards. The rules between sections are in `params`.
"""

from ddpm.config.sections.base import Section
from ddpm.config.sections.data import Features
from ddpm.config.sections.diffusion import Diffusion
from ddpm.config.sections.net import Net
from ddpm.config.sections.pipeline import Evaluate, Flow, Promote
from ddpm.config.sections.prepare import Prepare
from ddpm.config.sections.sample import Sample
from ddpm.config.sections.train import Train

__all__ = ["Diffusion", "Evaluate", "Features", "Flow", "Net", "Prepare", "Promote", "Sample", "Section", "Train"]

"""The sections of params.yaml: each key with its type, its range, and the rules within the section.

Frozen and strict: no unknown keys, no conversions, no changes afterwards. The rules between sections are in `params`.
"""

from ddpm.sections.base import Section
from ddpm.sections.data import Features, Prepare
from ddpm.sections.diffusion import Diffusion
from ddpm.sections.net import Net
from ddpm.sections.pipeline import Evaluate, Flow, Promote
from ddpm.sections.sample import Sample
from ddpm.sections.train import Train

__all__ = ["Diffusion", "Evaluate", "Features", "Flow", "Net", "Prepare", "Promote", "Sample", "Section", "Train"]

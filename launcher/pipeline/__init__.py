"""The pipeline file: read, checked, with every fault at its line."""

from launcher.pipeline.inputs import awaited_inputs, missing_inputs
from launcher.pipeline.load import load_pipeline
from launcher.pipeline.parts import (
    NO_JOB,
    ClusterSettings,
    Pipeline,
    Reuse,
    Stage,
    StageKind,
)
from launcher.pipeline.requeue import Requeue, deadline_at
from launcher.pipeline.start import start_from

__all__ = [
    "NO_JOB",
    "ClusterSettings",
    "Pipeline",
    "Requeue",
    "Reuse",
    "Stage",
    "StageKind",
    "awaited_inputs",
    "deadline_at",
    "load_pipeline",
    "missing_inputs",
    "start_from",
]

"""Foresees when a pipeline will be done under interruptions, by simulation.

Pure: no clock, no files, no question to anybody, and nothing but the standard library. A stage is a
few numbers (`model`), an attempt goes from one interruption to the next without looking at single
steps (`stage`), a run is its stages in order of their parents (`pipeline`), and the formula that
holds for the simplest case is there to be compared with (`closed_form`).
"""

from launcher.foresee.interval import Intervals, compare_intervals
from launcher.foresee.model import Interruption, Rates, Spent, StageModel
from launcher.foresee.pipeline import Foresight, PlacedStage, StageForesight, foresee
from launcher.foresee.presets import PRESETS, Preset

__all__ = [
    "PRESETS",
    "Foresight",
    "Interruption",
    "Intervals",
    "PlacedStage",
    "Preset",
    "Rates",
    "Spent",
    "StageForesight",
    "StageModel",
    "compare_intervals",
    "foresee",
]

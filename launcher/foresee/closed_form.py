"""The expected time under hard interruptions alone, by formula; the simulation is held against it.

With interruptions at rate q, a segment of w seconds of work and its save of c seconds takes on
average

    exp(q R) (1/q + D) (exp(q (w + c)) - 1)

where each interruption costs D seconds without nodes and then R seconds of start-up, in which the
next interruption can come. The start-up before the first segment adds (1/q + D) (exp(q R) - 1).

Source: Herault and Robert (eds.), Fault-Tolerance Techniques for High-Performance Computing,
Springer 2015, chapter 1 (proposition 1.1); Bougeret, Casanova, Rabie, Robert and Vivien,
"Checkpointing strategies for parallel jobs", SC 2011.
"""

from math import expm1, isinf

from launcher.foresee.model import StageModel


def expected_s(stage: StageModel, hard_per_s: float) -> float:
    """Mean seconds from a stage's turn to its end.

    Args:
        stage: A stage that resumes and has no time limit.
        hard_per_s: Interruptions per second with nodes.
    """
    if not hard_per_s:
        return stage.undisturbed_s
    last = stage.saves(stage.work_s) - 1
    interval_s = 0.0 if isinf(stage.interval_s) else stage.interval_s
    lengths = [interval_s] * last + [stage.work_s - last * interval_s]
    again = 1 / hard_per_s + stage.wait_s
    start = expm1(hard_per_s * stage.start_s)
    segments = sum(expm1(hard_per_s * (work_s + stage.save_s)) for work_s in lengths)
    return stage.first_wait_s + again * (start + (start + 1) * segments)

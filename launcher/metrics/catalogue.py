"""Every metric of `launcher metrics`: name, kind, labels, help.

Names follow https://prometheus.io/docs/practices/naming: base units, `_total` for what only grows.
What may be corrected downwards is a gauge: to `rate()` a counter that falls has begun anew.
docs/metrics.md says the same to people; a test compares the two.
"""

from dataclasses import dataclass
from typing import Final, Literal

LEDGER: Final = "ledger"
"""A label of every series: two ledgers of a machine would have the same series otherwise, and the
textfile collector takes no such pair."""
_STAGE: Final = ("run", "stage")


@dataclass(frozen=True)
class Metric:
    """A metric.

    Attributes:
        name: With its unit; a counter's ends with `_total`.
        kind: What Prometheus takes it for.
        labels: Beside `ledger`.
        help: One sentence.
    """

    name: str
    kind: Literal["gauge", "counter"]
    labels: tuple[str, ...]
    help: str


METRICS: Final = (
    Metric(
        "launcher_build_info",
        "gauge",
        ("version", "schema"),
        "1, with the version of the launcher and of the ledger's schema.",
    ),
    Metric("launcher_runs", "gauge", ("state",), "Runs in the ledger by state."),
    Metric(
        "launcher_runs_left_out",
        "gauge",
        (),
        "Runs that have no series of their own here, since there are too many.",
    ),
    Metric(
        "launcher_last_pass_timestamp_seconds",
        "gauge",
        (),
        "When the last pass ended, good or degraded; 0: there was none.",
    ),
    Metric(
        "launcher_last_good_pass_timestamp_seconds",
        "gauge",
        (),
        "When the last pass that Slurm answered ended; 0: there was none.",
    ),
    Metric(
        "launcher_recent_passes",
        "gauge",
        ("result",),
        "Passes of the last 24 hours: good, or degraded (Slurm did not answer).",
    ),
    Metric(
        "launcher_quarantined_nodes",
        "gauge",
        ("cluster",),
        "Nodes that jobs keep away from at the moment.",
    ),
    Metric(
        "launcher_run_info",
        "gauge",
        ("run", "pipeline", "user"),
        "1 for each run that has series here, with its pipeline's name and its user.",
    ),
    Metric(
        "launcher_run_created_timestamp_seconds", "gauge", ("run",), "When the run was submitted."
    ),
    Metric(
        "launcher_stage_state",
        "gauge",
        (*_STAGE, "state"),
        "1 for the state that the stage run is in; its other states have no series.",
    ),
    Metric("launcher_stage_steps", "gauge", _STAGE, "Last optimizer step that was told."),
    Metric("launcher_stage_planned_steps", "gauge", _STAGE, "Optimizer steps in all."),
    Metric("launcher_stage_loss", "gauge", _STAGE, "Loss of the last step that was told."),
    Metric(
        "launcher_stage_step_duration_seconds", "gauge", _STAGE, "Time that one step takes now."
    ),
    Metric(
        "launcher_stage_remaining_seconds",
        "gauge",
        _STAGE,
        "Time until the running stage is done, at the speed of its last step (ETA).",
    ),
    Metric("launcher_stage_nodes", "gauge", _STAGE, "Nodes that the last attempt got."),
    Metric(
        "launcher_stage_attempts_total",
        "counter",
        _STAGE,
        "Attempts that have held an allocation.",
    ),
    Metric(
        "launcher_stage_interruptions_total",
        "counter",
        (*_STAGE, "cause"),
        "Attempts that were interrupted, which is not the job's fault, by cause.",
    ),
    Metric(
        "launcher_stage_failures_total",
        "counter",
        (*_STAGE, "cause"),
        "Attempts that failed by their own fault, by cause.",
    ),
    Metric(
        "launcher_stage_lost_steps_total",
        "counter",
        _STAGE,
        "Optimizer steps executed in vain, since no checkpoint held them.",
    ),
    Metric(
        "launcher_stage_allocated_gpu_seconds",
        "gauge",
        _STAGE,
        "GPU time that the attempts have held.",
    ),
    Metric(
        "launcher_stage_goodput_ratio",
        "gauge",
        _STAGE,
        "Share of the allocated time that went into steps which survived, 0 to 1.",
    ),
    Metric("launcher_stage_queue_seconds", "gauge", _STAGE, "Time spent waiting for allocations."),
    Metric(
        "launcher_stage_checkpoint_steps",
        "gauge",
        _STAGE,
        "Optimizer steps that the newest checkpoint holds.",
    ),
    Metric("launcher_stage_checkpoint_bytes", "gauge", _STAGE, "Size of the newest checkpoint."),
    Metric(
        "launcher_stage_checkpoint_timestamp_seconds",
        "gauge",
        _STAGE,
        "When the newest checkpoint was saved.",
    ),
)

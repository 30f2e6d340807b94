"""Whether a slice (what a time limit leaves) is long enough to get on. Pure."""

from collections.abc import Iterator

from db.timings import Timing
from jobs.contract.units import format_duration
from launcher.doctor.finding import Finding, Level
from launcher.past import Past
from launcher.pipeline import Stage
from launcher.saving import interval_of, saves_at_all


def slices(stage: Stage, timing: Timing, past: Past, hard_per_s: float) -> Iterator[Finding]:
    """What is found of a stage that trains.

    Args:
        stage: The stage.
        timing: What its steps and saves took.
        past: What earlier runs say besides.
        hard_per_s: How often work is lost; 0: as often as a job expects at first.
    """
    if stage.train is None or not saves_at_all(stage):  # it has to be done in one slice
        return
    start_s = past.start_s
    limit_s, lead_s = stage.cluster.time_limit_s, stage.cluster.signal_lead_s
    where = f"stages.{stage.name}.cluster.time_limit"
    if start_s is None or timing.step_s is None or timing.save_s is None:
        yield Finding(
            level=Level.UNKNOWN,
            id="slice-unknown",
            where=where,
            what="whether it is long enough to start and to save: not known before a run of this "
            "pipeline has told",
            next="submit it, or a short part of it (--set "
            f"stages.{stage.name}.train.max_steps=50), and ask again",
        )
        return
    held_s = timing.save_s if past.save_s is None else past.save_s
    every_s, _ = interval_of(stage, held_s, timing.step_s, hard_per_s)
    need_s = start_s + every_s + timing.save_s
    takes = f"start-up {start_s:.0f} s, {every_s:.0f} s between saves, a save {timing.save_s:.1f} s"
    if start_s + timing.step_s > limit_s - lead_s:
        yield Finding(
            level=Level.WARNING,
            id="slice-never",
            where=where,
            what=f"its start takes {start_s:.0f} s, {format_duration(limit_s - lead_s)} are left "
            "until it is told to stop",
            why="an attempt ends before it has done a step: it never gets on",
            next=f"set cluster.time_limit to {_minutes(need_s + lead_s)} or more",
        )
    elif need_s > limit_s - lead_s:
        yield Finding(
            level=Level.WARNING,
            id="slice-too-short",
            where=where,
            what=f"it does not hold a save in its course ({takes})",
            why="only the save at the stop is left; an attempt that misses it loses all it did",
            next=f"set cluster.time_limit to {_minutes(need_s + lead_s)} or more, or save more "
            "often (checkpoint.every, checkpoint.max_interval)",
        )
    else:
        yield Finding(
            level=Level.OK, id="slice", where=where, what=f"long enough to get on ({takes})"
        )


def _minutes(seconds: float) -> str:
    return f"{int(seconds // 60) + 1}m"

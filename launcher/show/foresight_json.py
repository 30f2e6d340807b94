"""What `plan` foresees, as JSON values; null stands for what is not known and for never."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from launcher.disk import Disk
from launcher.foresee import Foresight, Intervals, StageForesight
from launcher.outlook import Assumed, Outlook
from launcher.plan import Plan
from launcher.queues import Queues
from launcher.sizes import Size


def ahead_json(
    plan: Plan, queues: Queues, disk: Disk, outlook: Outlook | None, sizes: Sequence[Size]
) -> dict[str, Any]:
    """All that is added to the plan's own values."""
    return {
        "critical_path": [planned.stage.name for planned in plan.critical],
        "basis": {planned.stage.name: planned.basis for planned in plan.stages if planned.is_job},
        "queue": {"waits_s": dict(queues.waits_s), "no_answer": dict(queues.silent)},
        "disk": _disk_json(disk),
        "outlook": None if outlook is None else _outlook_json(outlook),
        "sizes": [_size_json(size) for size in sizes],
    }


def _disk_json(disk: Disk) -> dict[str, Any]:
    return {
        "folder": str(disk.folder),
        "free_bytes": disk.free_bytes,
        "needed_bytes": disk.bytes,
        "stages": {each.stage: asdict(each) | {"bytes": each.bytes} for each in disk.stages},
        "unknown": list(disk.unknown),
    }


def _outlook_json(outlook: Outlook) -> dict[str, Any]:
    wanted = outlook.wanted
    intervals = outlook.intervals or (None,) * len(outlook.assumed)
    rows = zip(outlook.foresight.stages, outlook.assumed, intervals, strict=True)
    return _foresight_json(outlook.foresight) | {
        "preemptions_per_s": wanted.announced_per_s,
        "failures_per_node_s": wanted.node_failures_per_s,
        "failures": wanted.failures or None,
        "stages": [_stage_json(stage, assumed, tried) for stage, assumed, tried in rows],
    }


def _foresight_json(told: Foresight) -> dict[str, Any]:
    return {
        "runs": told.runs,
        "seed": told.seed,
        "undone": told.undone,
        "p10_s": _finite(told.p10_s),
        "p50_s": _finite(told.p50_s),
        "p90_s": _finite(told.p90_s),
        "gpu_hours": told.gpu_hours,
        "goodput": told.goodput,
    }


def _stage_json(stage: StageForesight, assumed: Assumed, tried: Intervals | None) -> dict[str, Any]:
    return {
        "stage": stage.name,
        "p10_s": _finite(stage.p10_s),
        "p50_s": _finite(stage.p50_s),
        "p90_s": _finite(stage.p90_s),
        "gpu_hours": stage.gpu_hours,
        "goodput": stage.spent.goodput,
        "spent": asdict(stage.spent),
        "assumed": {name: _finite(value) for name, value in asdict(assumed.model).items()}
        | asdict(assumed.rates)
        | {
            "interval_by": assumed.interval,
            "save_by": assumed.save_from,
            "restart_by": assumed.restart_from,
            "grace_too_short_s": assumed.grace_s,
        },
        "interval": None if tried is None else _interval_json(tried),
    }


def _interval_json(tried: Intervals) -> dict[str, Any]:
    return {
        "mtbf_s": _finite(tried.mtbf_s),
        "young_s": _finite(tried.young_s),
        "daly_s": _finite(tried.daly_s),
        "best_s": tried.best.interval_s if tried.best else None,
        "best_goodput": tried.best.goodput if tried.best else None,
        "as_good_s": list(tried.as_good_s) if tried.as_good_s else None,
        "tried": [asdict(each) for each in tried.tried],
    }


def _size_json(size: Size) -> dict[str, Any]:
    return {
        "nodes": size.nodes,
        "fault": size.fault or None,
        "wall_s": size.plan.wall_s if size.plan else None,
        "gpu_hours": size.plan.gpu_hours if size.plan else None,
        "unknown": list(size.plan.unknown) if size.plan else None,
        "outlook": _foresight_json(size.outlook.foresight) if size.outlook else None,
    }


def _finite(value: float | None) -> float | None:
    """Null for what never comes: JSON has no infinity."""
    return None if value is None or math.isinf(value) else value

"""The accounts of a run as JSON."""

from typing import Any

from launcher.accounting.parts import Spent, fractions
from launcher.report.story import Story
from launcher.words import HOUR_S


def account_json(story: Story) -> dict[str, Any]:
    """Seconds, GPU-hours and shares by part, of the run and of each stage."""
    account, price = story.account, story.price
    return {
        "run": story.run.id,
        "state": str(story.run.state),
        "wall_s": account.wall_s,
        "price": None if price is None else {"amount": price.amount, "currency": price.currency},
        "lost_steps": account.lost_steps,
        "all": _spent_json(account.spent, account.gpu_spent),
        "stages": [
            {
                "stage": stage.stage,
                "attempts": len(stage.attempts),
                "queued_s": stage.queued_s,
                "lost_steps": sum(each.lost_steps for each in stage.attempts),
                **_spent_json(stage.spent, stage.gpu_spent),
            }
            for stage in account.stages
        ],
    }


def _spent_json(seconds: Spent, gpu_s: Spent) -> dict[str, Any]:
    return {
        "allocated_s": seconds.allocated,
        "gpu_hours": gpu_s.allocated / HOUR_S,
        "parts": {
            str(part): {
                "s": amount,
                "gpu_hours": gpu_s.waterfall[part] / HOUR_S,
                "share": fractions(seconds.waterfall)[part],
            }
            for part, amount in seconds.waterfall.items()
        },
        "idle": {
            name: {"s": amount, "gpu_hours": gpu_s.idle_parts[name] / HOUR_S}
            for name, amount in seconds.idle_parts.items()
        },
    }

"""What a run's frozen pipeline file says of its stages.

Not by `load_pipeline`: that checks the whole file, which takes longer than all of `status`.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_FREE = (
    *("lr", "lr_floor", "warmup_epochs", "weight_decay", "clip_norm", "seed", "max_bad_steps"),
    *("max_bad", "checkpoint", "log_every_s"),
)
"""Keys of `train` that hardly change how long it takes."""


@lru_cache(maxsize=64)
def frozen(text: str) -> Mapping[str, Any]:
    """The values of a resolved pipeline file; none where `submit` did not write it."""
    import yaml  # noqa: PLC0415 - few looks need it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, with libyaml
    try:
        found = yaml.load(text, Loader=loader)  # noqa: S506 - a safe one
    except yaml.YAMLError:
        return {}
    return found if isinstance(found, dict) else {}


def frozen_stages(text: str) -> Mapping[str, Mapping[str, Any]]:
    """Its stages by name."""
    stages = frozen(text).get("stages")
    if not isinstance(stages, dict):
        return {}
    return {name: stage for name, stage in stages.items() if isinstance(stage, dict)}


def train_of(text: str, stage: str) -> Mapping[str, Any]:
    """The part `train` of a stage; empty where it has none."""
    train = frozen_stages(text).get(stage, {}).get("train")
    return train if isinstance(train, dict) else {}


def asked(text: str, stage: str) -> Mapping[str, Any] | None:
    """What a run asks of a stage, as far as its time hangs on that; None: the file has no such.

    GPUs aside, which the ledger knows.
    """
    section = frozen_stages(text).get(stage)
    if section is None:
        return None
    train = {key: value for key, value in train_of(text, stage).items() if key not in _FREE}
    others = {part: section.get(part) for part in ("evaluate", "command")}
    return {"model": frozen(text).get("model"), "train": train, **others}

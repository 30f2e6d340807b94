"""Multiples of the learning rate at each step."""

from collections.abc import Iterator, Mapping
from typing import Any

from jobs.optimizer import lr_multiple
from tests.parity.findings import Finding, compare
from tests.parity.vectors import Vector


def recognises(vector: Vector) -> bool:
    """Settings with a multiple for each step."""
    settings = vector.named("settings").values()
    return bool(settings) and all("multiplier" in each for each in settings)


def check(vector: Vector) -> Iterator[Finding]:
    """All multiples of all settings, and the first learning rates."""
    tolerance = vector.facts["tolerance"]["multiplier_atol"]
    for name, given in vector.facts["settings"].items():
        total = given["steps_per_epoch"] * given["epochs"]
        warmup = given["steps_per_epoch"] * given["warmup_epochs"]
        yield compare(f"{name}.num_training_steps", float(total), given["num_training_steps"])
        yield compare(f"{name}.num_warmup_steps", float(warmup), given["num_warmup_steps"])
        for step, multiplier in zip(given["step"], given["multiplier"], strict=True):
            # The original's cosine rises again after the end, where nobody trains; ours does not.
            want = multiplier if step <= total else given["min_lr_multi"]
            yield compare(f"{name}.multiplier {step}", _multiple(given, step), want, tolerance)
        for step, want in enumerate(given["lr_of_first_6_optimizer_steps"]):
            got = given["base_lr"] * _multiple(given, step)
            yield compare(f"{name}.lr {step}", got, want, tolerance * given["base_lr"])


def _multiple(given: Mapping[str, Any], step: int) -> float:
    return lr_multiple(
        step,
        warmup_steps=given["steps_per_epoch"] * given["warmup_epochs"],
        total_steps=given["steps_per_epoch"] * given["epochs"],
        floor=given["min_lr_multi"],
    )

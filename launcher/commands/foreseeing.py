"""The options by which `plan` is told what comes between."""

import argparse
from collections.abc import Callable
from typing import TypeVar

from jobs.contract.units import parse_duration
from launcher.foresee.presets import PRESETS
from launcher.foresee.rates import parse_rate
from launcher.outlook import Wanted

_DAY_S = 86_400
_MOST_TRIALS = 100_000
Value = TypeVar("Value")


def add_foresight_arguments(parser: argparse.ArgumentParser) -> None:
    """How often a run is interrupted, what that costs, and which sizes to compare."""
    group = parser.add_argument_group("what is to be expected")
    group.add_argument(
        "--preemptions",
        type=_told(parse_rate),
        metavar="RATE",
        help="of each job, such as 4/day, 0.5/h or 2/week",
    )
    group.add_argument(
        "--failures",
        type=_told(_failures),
        metavar="RATE",
        help=f"of each node, such as 0.004/day, or as in {', '.join(PRESETS)}",
    )
    group.add_argument(
        "--save",
        type=_told(parse_duration),
        metavar="TIME",
        help="a save holds a stage up so long, such as 60s (by the ledger, else 60s)",
    )
    group.add_argument(
        "--restart",
        type=_told(parse_duration),
        metavar="TIME",
        help="from an interruption to the next step, such as 3m (by the ledger, else 3m)",
    )
    group.add_argument(
        "--grace",
        type=_told(parse_duration),
        metavar="TIME",
        help="notice before a preemption, such as 30s (the partition's, else enough for a save)",
    )
    group.add_argument(
        "--nodes",
        type=_told(_sizes),
        default=(),
        metavar="N,N,...",
        help="compare these numbers of nodes, such as 2,4,8",
    )
    group.add_argument(
        "--trials", type=_told(_trials), default=1000, metavar="N", help="runs to simulate (1000)"
    )
    group.add_argument("--seed", type=int, default=1, metavar="N", help="of the random numbers (1)")


def wanted(args: argparse.Namespace) -> Wanted:
    """What the options say."""
    per_node_s, name = args.failures or (None, "")
    return Wanted(
        announced_per_s=args.preemptions,
        node_failures_per_s=per_node_s,
        failures=name,
        save_s=args.save,
        restart_s=args.restart,
        grace_s=args.grace,
        runs=args.trials,
        seed=args.seed,
    )


def _told(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """Lets argparse tell the reader's own words, which say what to write instead."""

    def told(text: str) -> Value:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return told


def _failures(text: str) -> tuple[float, str]:
    """Failures of a node per second, and where that comes from."""
    if text in PRESETS:
        return PRESETS[text].per_node_day / _DAY_S, f"{text}: {PRESETS[text].of}"
    try:
        return parse_rate(text), "given"
    except ValueError:
        known = ", ".join(PRESETS)
        raise ValueError(
            f"{text!r} is neither a rate such as 0.004/day nor one of {known}"
        ) from None


def _sizes(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdigit() and int(part) for part in parts):
        raise ValueError(f"{text!r}: give numbers of nodes, such as 2,4,8")
    return tuple(dict.fromkeys(map(int, parts)))


def _trials(text: str) -> int:
    if not text.isdigit() or not 1 <= int(text) <= _MOST_TRIALS:
        raise ValueError(f"{text!r}: give a number of trials from 1 to {_MOST_TRIALS}")
    return int(text)

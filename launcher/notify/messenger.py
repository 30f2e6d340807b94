"""Runs the courier: a child that knows the addresses and may be killed when it takes too long."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_COURIER: Final = Path(__file__).with_name("courier.py")
_START_S: Final = 5.0
"""For Python to start, on a slow file system."""


@dataclass(frozen=True)
class Report:
    """What came back from the courier.

    Attributes:
        answers: Its answers, as far as they came.
        silence: Why there are no more of them, as a phrase.
    """

    answers: list[dict[str, Any]]
    silence: str


def ask_courier(task: Mapping[str, object], env: Mapping[str, str], limit_s: float) -> Report:
    """Sends the courier and waits for it.

    Args:
        task: See `courier.py`. Goes through a pipe: a command line can be read by everybody.
        env: The child's environment; proxies are found there.
        limit_s: After so long it ends, whatever it is doing.
    """
    too_late = f"no answer within {limit_s:g} s"
    try:
        done = subprocess.run(
            # Not `-m`: the folder of the program must not be where modules are looked for.
            [sys.executable, "-P", str(_COURIER)],
            input=json.dumps({**task, "limit_s": limit_s}).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # libraries write addresses there
            env=dict(env),
            timeout=limit_s + _START_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return Report(_parse(error.stdout or b""), too_late)
    except OSError as error:
        return Report([], f"{sys.executable} cannot be started: {error.strerror}")
    is_late = done.returncode == -signal.SIGALRM
    return Report(
        _parse(done.stdout), too_late if is_late else f"the courier ended with {done.returncode}"
    )


def _parse(said: bytes) -> list[dict[str, Any]]:
    """The answers; half a line at the end is none."""
    return [json.loads(line) for line in said.splitlines(keepends=True) if line.endswith(b"\n")]

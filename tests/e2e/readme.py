"""The README's commands: the tests run what it says."""

import re
import shlex
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
_PROMPT = "$ python -m launcher "


def commands() -> dict[str, str]:
    """What each `python -m launcher` command in the README prints there, by its arguments."""
    found = {}
    for block in re.findall(r"```\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL):
        for part in block.split("$ ")[1:]:
            line, _, output = part.partition("\n")
            if f"$ {line}".startswith(_PROMPT):
                found[f"$ {line}".removeprefix(_PROMPT)] = output
    return found


def slurm_options() -> list[str]:
    """What the README adds to the demo's command line to run it on Slurm."""
    demo = "submit pipeline.demo.yaml"
    (line,) = [line for line in commands() if line.startswith(f"{demo} ")]
    return shlex.split(line.removeprefix(demo))

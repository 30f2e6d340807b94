"""Runs one rank for submitit's controller, and writes down its pid and its exit code.

`python rank.py NOTES COMMAND...`: the controller keeps the exit codes to itself.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path


def main() -> int:
    notes, rank = Path(sys.argv[1]), os.environ["SUBMITIT_LOCAL_GLOBALID"]
    process = subprocess.Popen(sys.argv[2:])
    for number in (signal.SIGTERM, signal.SIGUSR2):
        signal.signal(number, lambda passed_on, _: process.send_signal(passed_on))
    (notes / f"{rank}.pid").write_text(str(process.pid))
    code = process.wait()
    aside = notes / f"{rank}.part"
    aside.write_text(str(code))
    aside.replace(notes / f"{rank}.code")
    return code % 256


if __name__ == "__main__":
    sys.exit(main())

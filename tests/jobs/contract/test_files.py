"""Files that are there whole or not at all."""

import signal
import subprocess
import sys
import time

from jobs.contract.files import write_atomic

WRITER = """
import sys
from pathlib import Path
from jobs.contract.files import write_atomic
number = 0
while True:
    write_atomic(Path(sys.argv[1]), f"{number} " * 50_000)
    number += 1
"""
KILLS = 12


def test_write_atomic_replaces_what_was_there_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new folder" / "fence"
    write_atomic(path, "1")

    write_atomic(path, "2")

    assert [(one.name, one.read_text()) for one in path.parent.iterdir()] == [("fence", "2")]


def test_killed_writer_leaves_no_torn_file(tmp_path):
    path = tmp_path / "file"
    seen = set()
    for kill in range(KILLS):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)])
        while not path.exists():
            time.sleep(0.005)
        time.sleep(0.1 + 0.0037 * kill)
        writer.send_signal(signal.SIGKILL)
        writer.wait()

        words = path.read_text().split(" ")

        assert (len(words), len(set(words[:-1]))) == (50_001, 1)
        seen.add(words[0])
    assert len(seen) > 1

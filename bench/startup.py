"""From start to the first step, by part, warm and cold: `python -m bench.startup`.

Starts the demo's stage 3 (its model, recipe and weights, on few clips) as the launcher does on
this machine, for one step, several times: with the files in the page cache and, where this user
may drop it, without. `handing in` is submitit's own part before the rank's process exists; the
others are those of the `first_step` event (`jobs.startup` says what they are). Then some
processes read one file of weights at the same time, and what came from the disk is compared with
the file's size. Exits 1 where the parts that the event tells explain less than 90 % of
what was waited for, or where weights were read from the disk more than 1.5 times.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from bench.program import ROOT, spread
from jobs.contract.manifest import describe
from jobs.contract.paths import RunFolder
from jobs.contract.spec import StageSpec
from jobs.data.synthetic import make_set
from launcher.reuse import write_done_marker
from tests.jobs.running import started

DROP = Path("/proc/sys/vm/drop_caches")
UNEXPLAINED = 0.10
CLOCKS_S = 0.05
"""How far the clocks of two processes may be apart; the kernel tells ages in hundredths."""
READ_AT_MOST = 1.5
PROCESSES = 4
HANDING_IN = "handing in"

PREPARE = """
import sys
from pathlib import Path
from jobs.build import model_config
from jobs.contract.spec import StageSpec
from model.stages import base_language_model_names, initialise
from model.video_chat import VideoChat
from model.weights import save_weights, write_tensors
module = VideoChat(model_config(StageSpec.read(Path(sys.argv[1])).model), stage=2)
carried = initialise(module, Path(sys.argv[2]), stage=2)
left_out = base_language_model_names(module)
own = {n: value.clone() for n, value in module.state_dict().items() if n not in left_out}
write_tensors({**own, **carried}, Path(sys.argv[3]))
"""
"""Stage 2's weights as its final checkpoint holds them, but untrained: they are as many bytes."""

READ = """
import json, sys, time
from safetensors import safe_open
began = time.perf_counter()
with safe_open(sys.argv[1], framework="np") as file:
    total = sum(float(file.get_tensor(name).sum()) for name in file.keys())
told = dict(line.split(": ") for line in open("/proc/self/io").read().splitlines())
print(json.dumps([time.perf_counter() - began, int(told["read_bytes"])]))
"""


def specification(folder: Path) -> StageSpec:
    """The demo's stage 3 on its own small set, for one step; stage 2's weights are made."""
    file = yaml.safe_load((ROOT / "pipeline.demo.yaml").read_text(encoding="utf-8"))
    make_set(folder / "clips", train=64, test=4, seed=0)
    language_model = str(ROOT / file["model"]["language_model"])
    sets = [{"annotations": str(folder / "clips" / "train_qa.json"), "directional": True}]
    recipe = file["stages"]["stage3"]["train"] | {"data": sets, "max_steps": 1}
    told = {
        "run_id": "bench",
        "stage": "stage3",
        "parents": ("stage2",),
        "init_from": "stage2",
        "model": file["model"] | {"language_model": language_model},
        "train": recipe,
    }
    spec = StageSpec.model_validate(told)
    _write_stage2(RunFolder(folder / "run"), spec, ROOT / file["stages"]["stage1"]["reuse"])
    return spec


def _write_stage2(run: RunFolder, spec: StageSpec, stage1: Path) -> None:
    folder = run.stage("stage2")
    spec.write(folder.spec)
    weights = folder.root / "weights.safetensors"
    command = [sys.executable, "-c", PREPARE, str(folder.spec), str(stage1), str(weights)]
    subprocess.run(command, cwd=ROOT, check=True, timeout=300, stderr=subprocess.DEVNULL)
    write_done_marker(folder, describe(weights, str(weights)), "")


def drop_page_cache() -> None:
    """Has the kernel forget what it read; raises OSError where this user may not."""
    os.sync()
    DROP.write_text("3", encoding="ascii")


def start(run: RunFolder, spec: StageSpec, ranks: int) -> tuple[float, dict[str, float]]:
    """Seconds until the first step was done, and its parts."""
    began = time.time()
    with started(run, spec, ranks=ranks) as attempt:
        attempt.wait_until(lambda: attempt.events("first_step"))
        (event,) = attempt.events("first_step")
        attempt.wait()
    for path in sorted(attempt.folder.checkpoints.glob("*/*")):
        path.unlink()  # the next start has nothing to resume from
    for path in attempt.folder.checkpoints.iterdir():
        path.rmdir()
    waited_s = event.at - began
    return waited_s, {HANDING_IN: waited_s - event.fields["start_s"]} | event.fields["parts"]


def tell_starts(name: str, starts: list[tuple[float, dict[str, float]]]) -> bool:
    """Prints a table of medians; gives whether the event explains the time."""
    waited = [seconds for seconds, _ in starts]
    print(f"{name}: start to first step {spread(waited)}")
    for part in starts[0][1]:
        print(f"  {part:12} {median([parts[part] for _, parts in starts]):7.2f} s")
    unexplained = [(parts[HANDING_IN], seconds) for seconds, parts in starts]
    return all(-CLOCKS_S <= rest <= UNEXPLAINED * seconds for rest, seconds in unexplained)


def read_together(folder: Path, megabytes: int) -> float:
    """How many times the file came from the disk when some processes read it at once."""
    import numpy as np  # noqa: PLC0415 - of use here only
    from safetensors.numpy import save_file  # noqa: PLC0415

    path = folder / "weights.safetensors"
    rows = np.ones((megabytes // 8, 2 * 1024 * 1024), dtype=np.float32)
    save_file({str(row): values for row, values in enumerate(rows)}, path)
    drop_page_cache()
    command = [sys.executable, "-c", READ, str(path)]
    readers = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    told: list[Any] = [json.loads(reader.communicate(timeout=300)[0]) for reader in readers]
    times = sum(read for _, read in told) / path.stat().st_size
    print(
        f"{PROCESSES} processes read {path.stat().st_size / 1e6:.0f} MB of weights at once in "
        f"{max(seconds for seconds, _ in told):.2f} s: {times:.2f} times the file from the disk "
        f"(at most {READ_AT_MOST})"
    )
    return times


def main() -> int:
    """Prints the tables; 1 where something does not hold."""
    args = _arguments()
    print(f"load of the machine before: {os.getloadavg()[0]:.2f}; {args.ranks} rank(s)")
    with tempfile.TemporaryDirectory(prefix="bench-startup-", dir=args.folder) as name:
        folder = Path(name)
        spec, run = specification(folder), RunFolder(folder / "run")
        start(run, spec, args.ranks)  # fills the page cache, and compiles Python's files
        sound = tell_starts("warm", [start(run, spec, args.ranks) for _ in range(args.repeats)])
        try:
            drop_page_cache()
        except OSError as error:
            print(f"cold: not measured, the page cache cannot be dropped: {error}")
            return 0 if sound else 1
        cold = []
        for _ in range(args.repeats):
            drop_page_cache()
            cold.append(start(run, spec, args.ranks))
        sound &= tell_starts("cold", cold)
        sound &= read_together(folder, args.megabytes) <= READ_AT_MOST
    print(f"load after: {os.getloadavg()[0]:.2f}")
    return 0 if sound else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3, help="starts of each kind")
    parser.add_argument("--ranks", type=int, default=1)
    parser.add_argument("--megabytes", type=int, default=512, help="of the weights read at once")
    parser.add_argument("--folder", type=Path, help="a disk's; by default that of temporary files")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())

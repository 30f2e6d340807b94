"""What an annotation file of ten million rows costs a rank: time, disk, memory.

`python -m bench.index --rows 10_000_000` makes such a file and opens it as a training run does, in
a process of its own with two forked workers, which read rows at random. Beside it, in the same
run, the way that is not taken: `json.load` of the first `--loaded` rows.

Memory is what a process has more than before it opened the set (and after its imports): RSS, and
PSS, in which a page that several processes share counts in parts.
"""

import argparse
import json
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

MB = 1e6
READS = 20_000
WORKERS = 2
WORDS = "a man in red walks his dog along the sea while two boats wait for the wind at dusk"


def main() -> None:
    """Makes the file, measures in fresh processes, prints."""
    parser = argparse.ArgumentParser(prog="python -m bench.index")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--loaded", type=int, default=200_000, help="rows given to json.load")
    parser.add_argument("--part", choices=["index", "order", "load"], help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        {"index": measure_index, "order": measure_order, "load": measure_load}[args.part](args.file)
        return
    with tempfile.TemporaryDirectory(prefix="bench-index-") as folder:
        large, small = Path(folder) / "large.json", Path(folder) / "small.json"
        write(large, args.rows)
        write(small, args.loaded)
        say(f"{args.rows:,} rows", f"{large.stat().st_size / MB:,.0f} MB of JSON")
        for part, file in (("index", large), ("order", large)):
            run(part, file)
        say(f"json.load of {args.loaded:,} rows", f"{small.stat().st_size / MB:,.0f} MB of JSON")
        run("load", small)


def write(path: Path, rows: int) -> None:
    """A JSON list of captions, about as long as those of WebVid."""
    draw, words = random.Random(rows), WORDS.split()
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            caption = " ".join(draw.choices(words, k=14))
            row = {"video": f"{number % 1000:06d}/{number:010d}.mp4", "caption": caption}
            file.write(("[" if not number else ",\n") + json.dumps(row))
        file.write("]")


def run(part: str, file: Path) -> None:
    """One measurement in a fresh process."""
    command = [sys.executable, "-m", "bench.index", "--part", part, "--file", str(file)]
    subprocess.run(command, check=True, timeout=1200)


def measure_index(file: Path) -> None:
    """Builds, opens again, reads at random: in this process and in workers forked from it."""
    from jobs.data.annotations import read_items  # noqa: PLC0415 - the import is no cost

    began = time.perf_counter()
    built = read_items(file)
    say("build", f"{time.perf_counter() - began:.1f} s")
    say("index", f"{built.source.place.stat().st_size / MB:.1f} MB on disk")
    say("peak of the builder", f"{peak_mb():.0f} MB RSS, imports included")
    del built
    before = memory_mb("self")
    began = time.perf_counter()
    rows = read_items(file)
    say("open again", f"{1e3 * (time.perf_counter() - began):.2f} ms")
    draw = random.Random(0)
    took_s = read_at_random(rows, draw)
    say("random row", f"{1e6 * took_s / READS:.1f} us (n={READS})")
    grown(before, memory_mb("self"), "rank")
    context = multiprocessing.get_context("fork")
    ends = [context.Pipe() for _ in range(WORKERS)]
    workers = [context.Process(target=work, args=(rows, theirs)) for _, theirs in ends]
    for worker in workers:
        worker.start()
    for ours, _ in ends:
        ours.recv()
    say("rank beside its workers", "{:.0f} MB RSS, {:.0f} MB PSS in all".format(*memory_mb("self")))
    for worker, (ours, _) in zip(workers, ends, strict=True):
        rss_mb, pss_mb = memory_mb(str(worker.pid))
        say("worker", f"{rss_mb:.0f} MB RSS, {pss_mb:.0f} MB PSS in all")
        ours.send(None)
        worker.join()


def work(rows: Sequence[object], pipe: Connection) -> None:
    """A worker: reads, then waits to be looked at."""
    read_at_random(rows, random.Random(os.getpid()))
    pipe.send(None)
    pipe.recv()


def read_at_random(rows: Sequence[object], draw: random.Random) -> float:
    """Seconds for `READS` rows."""
    numbers = [draw.randrange(len(rows)) for _ in range(READS)]
    began = time.perf_counter()
    for number in numbers:
        rows[number]
    return time.perf_counter() - began


def measure_order(file: Path) -> None:
    """The order of the samples, which a rank has as well."""
    from jobs.data.annotations import read_items  # noqa: PLC0415 - the import is no cost
    from jobs.data.mixing import MixedOrder  # noqa: PLC0415

    before, before_peak_mb = memory_mb("self"), peak_mb()
    rows = read_items(file)
    order = MixedOrder([("video", len(rows))], 512, 42)
    began = time.perf_counter()
    order.batch(0, 0)
    say("first batch of an epoch", f"{time.perf_counter() - began:.2f} s")
    grown(before, memory_mb("self"), "rank with the order")
    say("at its peak", f"{peak_mb() - before_peak_mb:.0f} MB more RSS")


def measure_load(file: Path) -> None:
    """All rows as Python objects."""
    before = memory_mb("self")
    began = time.perf_counter()
    with file.open(encoding="utf-8") as opened:
        rows = json.load(opened)
    say("load", f"{time.perf_counter() - began:.1f} s")
    grown(before, memory_mb("self"), "rank")
    rss_mb = memory_mb("self")[0] - before[0]
    say("a row", f"{rss_mb * MB / len(rows):.0f} bytes, that is {rss_mb / len(rows) * 1e7:,.0f} MB "
        "for ten million")  # fmt: skip


def memory_mb(process: str) -> tuple[float, float]:
    """RSS and PSS."""
    found = dict(_kilobytes(Path(f"/proc/{process}/smaps_rollup")))
    return found["Rss"] * 1024 / MB, found["Pss"] * 1024 / MB


def peak_mb() -> float:
    """The most RSS that this process had."""
    return dict(_kilobytes(Path("/proc/self/status")))["VmHWM"] * 1024 / MB


def _kilobytes(path: Path) -> Iterator[tuple[str, float]]:
    for line in path.read_text().splitlines():
        if line.endswith(" kB"):
            name, value = line.removesuffix(" kB").split(":")
            yield name, float(value)


def grown(before: tuple[float, float], after: tuple[float, float], who: str) -> None:
    """Prints what a process has more than before."""
    say(who, f"+{after[0] - before[0]:.1f} MB RSS, +{after[1] - before[1]:.1f} MB PSS")


def say(what: str, measured: str) -> None:
    """Prints a line of the table."""
    sys.stdout.write(f"{what:26}{measured}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Reading for so long and no longer."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.data.dataset import BadClip, ClipDataset, SampleKey
from jobs.data.errors import UnreadableClipError
from jobs.data.items import CaptionItem, MediaSet
from jobs.data.loader import evaluation_loader
from jobs.data.patience import read_in_time
from jobs.data.sampler import RankShare
from jobs.data.synthetic import encode
from jobs.data.video import Wish, read_clip


@pytest.fixture
def with_a_pipe(grey_ramp, tmp_path):
    """A set whose second of three clips is a pipe that nobody writes to."""
    encode(grey_ramp, tmp_path / "good.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    items = tuple(CaptionItem("video", f"{name}.mp4", name) for name in ("good", "pipe", "good"))
    own = MediaSet("some", "video", items, tmp_path)
    return ClipDataset([own], frames=2, size_px=8, train=False, read_timeout_s=2)


@pytest.mark.parametrize("workers", [0, 1])
def test_clip_that_hangs_is_a_bad_clip_and_the_next_one_is_read(with_a_pipe, workers):
    loader = evaluation_loader(with_a_pipe, RankShare(0, 1, 3), num_workers=workers)

    (batch,) = loader

    assert [sample.key.index for sample in batch.samples] == [0, 2]
    key = SampleKey(0, 1)
    assert batch.bad == (BadClip("some", "pipe.mp4", "Timeout", "not read within 2 s", key),)


def test_error_of_a_reader_is_raised_where_it_is_waited_for(tmp_path):
    with pytest.raises(UnreadableClipError) as caught:
        read_in_time(lambda: read_clip(tmp_path / "no.mp4", Wish(2)), tmp_path / "no.mp4", 5)

    assert caught.value.error_class == "FileNotFoundError"


def test_process_ends_although_a_reader_hangs(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    program = (
        "import sys; from pathlib import Path\n"
        "from jobs.data.errors import UnreadableClipError\n"
        "from jobs.data.patience import read_in_time\n"
        "from jobs.data.video import Wish, read_clip\n"
        "path = Path(sys.argv[1])\n"
        "try: read_in_time(lambda: read_clip(path, Wish(2)), path, 0.2)\n"
        "except UnreadableClipError as error: print(error.error_class)\n"
    )
    began = time.monotonic()

    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "pipe.mp4")],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "Timeout\n", "")
    assert time.monotonic() - began < 50

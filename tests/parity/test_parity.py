"""Every vector of the original agrees with this model; what does not agree is found."""

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tests.parity.__main__ import findings_of, main
from tests.parity.vectors import Vector, read_folder

FOLDER = Path(__file__).parent / "vectors"


@pytest.mark.parametrize("vector", read_folder(FOLDER), ids=lambda vector: vector.name)
def test_vector_of_the_original_agrees(vector: Vector) -> None:
    findings = findings_of(vector)

    assert findings is not None, "no check recognises it"
    failed = [finding for finding in findings if not finding.passed]
    assert failed == []


def test_value_that_differs_is_named_and_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for suffix in ("json", "safetensors"):
        shutil.copy(FOLDER / f"layernorm_eps.{suffix}", tmp_path / f"renamed.{suffix}")
    tensors = load_file(tmp_path / "renamed.safetensors")
    tensors["vit_norm.y"][0, 0] += 1e-3
    save_file(tensors, tmp_path / "renamed.safetensors")

    assert main([str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert said.startswith("FAIL  renamed")
    assert "1 checked, 1 failed, 0 not recognised" in said


def test_odd_file_keeps_no_other_from_being_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = ('{"cases": {}}', '{"cases": [1]}', '{"cases": {"x": 3}, "config": 1}', "[1, 2]")
    for number, text in enumerate(odd):
        (tmp_path / f"a{number}.json").write_text(text)
    (tmp_path / "b.json").write_text('{"module": "MetaLoader", "cases": {"x": {}}}')
    for suffix in ("json", "safetensors"):
        shutil.copy(FOLDER / f"layernorm_eps.{suffix}", tmp_path / f"c.{suffix}")

    assert main([str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "FAIL  b " in said
    assert "its check: error inf, tolerance 0; KeyError: 'loader_lengths'" in said
    assert "ok    c " in said


def test_folder_in_which_nothing_is_recognised_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other.json").write_text('{"module": "something else"}')

    assert main([str(tmp_path)]) == 1
    assert "0 checked, 0 failed, 1 not recognised" in capsys.readouterr().out

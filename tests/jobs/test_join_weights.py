"""Files of the original that a stage needs together become one of ours."""

import torch
from safetensors.torch import load_file

from jobs.join_weights import main

WORDS = "qformer.bert.embeddings.word_embeddings.weight"


def written(path, **tensors):
    torch.save({"model": tensors}, path)
    return str(path)


def test_later_file_counts_and_the_earlier_fills_what_it_lacks(tmp_path):
    norm = "vision_layernorm.bias"
    one = written(tmp_path / "1.pth", **{norm: torch.zeros(2), WORDS: torch.ones(3, 2)})
    two = written(tmp_path / "2.pth", **{norm: torch.ones(2)})
    out = tmp_path / "made" / "start.safetensors"

    code = main([str(out), one, two])

    joined = {name: value.tolist() for name, value in load_file(out).items()}
    assert code == 0
    assert joined == {
        "visual_norm.bias": [1.0, 1.0],
        "qformer.text_embedding.words.weight": [[1.0, 1.0]] * 3,
    }


def test_files_of_two_models_are_refused_with_both_shapes(tmp_path, capsys):
    one = written(tmp_path / "1.pth", **{WORDS: torch.ones(3, 2)})
    two = written(tmp_path / "2.pth", **{WORDS: torch.ones(3, 4)})

    code = main([str(tmp_path / "out.safetensors"), one, two])

    said = capsys.readouterr().err
    assert code == 1
    assert f"{two}: qformer.text_embedding.words.weight [3, 4] has the shape [3, 2]" in said
    assert not (tmp_path / "out.safetensors").exists()

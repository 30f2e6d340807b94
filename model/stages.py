"""What each stage trains, and what it takes from an earlier one.

| stage | trains | frozen |
|---|---|---|
| 1 | norm, frame embedding, QFormer with text, heads | video encoder |
| 2 | video encoder, norm, QFormer without text, projector | language model |
| 3 | the same, QFormer with text, adapters | language model |
"""

from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from torch import Tensor, nn

from model.errors import WeightsError
from model.freezing import ADAPTER
from model.weights import check_file, load_weights, names_in, read_tensors, shapes_of

FROZEN_IN: dict[int, tuple[str, ...]] = {
    1: ("video_encoder",),
    2: ("language_model",),
    3: ("language_model",),
}

TEXT_BRANCH = ("qformer.text_embedding.*", "qformer.layers.*.text_ffn.*")

ONLY_IN_STAGE1 = (
    "temperature",
    "frame_embedding",
    "video_projection.*",
    "text_projection.*",
    "match_head.*",
    "qformer.caption_head.*",
)

NEW_IN: dict[int, tuple[str, ...]] = {
    1: (
        *("video_encoder.*", "visual_norm.*", "frame_embedding", "qformer.*", "temperature"),
        *("video_projection.*", "text_projection.*", "match_head.*"),
    ),
    2: ("qformer.extra_query_tokens", "projector.*"),
    3: (f"language_model.*{ADAPTER}*",),
}
"""What a stage adds to the weights it starts from; a file holds all of a pattern or nothing."""


def initialise(model: nn.Module, path: Path, *, stage: int | None) -> dict[str, Tensor]:
    """Start a stage's model from the file of an earlier stage, our own or the original's.

    Args:
        model: The model of the stage.
        path: The earlier stage's weights.
        stage: The stage that begins; None takes the weights as they are, to evaluate.

    Returns:
        What the file holds for a later stage and this model has no place for: the text
        branch of the QFormer, in stage 2, by our names. The stage hands it on with its own
        weights.

    Raises:
        WeightsError: The file has or lacks anything else.
    """
    held = names_in(path)
    _refuse_nothing(model, path, held)
    may_lack, may_ignore, passed_on = _rules(model, stage, held)
    load_weights(model, path, may_lack=may_lack, may_ignore=may_ignore)
    return read_tensors(path, passed_on) if passed_on else {}


def faults_of_start(model: nn.Module, path: Path, *, stage: int | None) -> list[str]:
    """Say what would keep `initialise` from working, a line each; the model may be on "meta".

    Raises:
        WeightsError: The file cannot be read, or holds nothing of the model.
    """
    held = names_in(path)
    _refuse_nothing(model, path, held)
    may_lack, may_ignore, _ = _rules(model, stage, held)
    return check_file(path, shapes_of(model), may_lack=may_lack, may_ignore=may_ignore)


Patterns = tuple[str, ...]


def _rules(
    model: nn.Module, stage: int | None, held: frozenset[str]
) -> tuple[Patterns, Patterns, Patterns]:
    """What the file may lack, what it may hold besides, and what of that is passed on."""
    new = () if stage is None else NEW_IN[stage]
    absent = tuple(each for each in new if not any(fnmatchcase(name, each) for name in held))
    base = base_language_model_names(model)
    absent_base = base if held.isdisjoint(base) else ()
    passed_on = () if _reads_text(shapes_of(model)) else TEXT_BRANCH
    from_stage1 = () if stage == 1 else ONLY_IN_STAGE1
    return (*absent, *absent_base), (*passed_on, *from_stage1), passed_on


def _reads_text(names: Iterable[str]) -> bool:
    return any(name.startswith("qformer.text_embedding.") for name in names)


def _refuse_nothing(model: nn.Module, path: Path, held: frozenset[str]) -> None:
    if held.isdisjoint(shapes_of(model)):
        some = ", ".join(sorted(held)[:3]) or "nothing at all"
        raise WeightsError(
            f"{path} holds no weight of {type(model).__name__}, but {some}; "
            "name the file of an earlier stage"
        )


def base_language_model_names(model: nn.Module) -> tuple[str, ...]:
    """Name the language model's own weights, without adapters."""
    return tuple(
        name
        for name in shapes_of(model)
        if name.startswith("language_model.") and ADAPTER not in name
    )

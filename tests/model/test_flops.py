"""The count of operations against torch's own, which counts as they run."""

from dataclasses import replace

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from model.batch import ChatBatch
from model.config import LoraConfig, ModelConfig
from model.flops import TrainingFlops
from model.prompt import MEDIA_ID
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining

LENGTH, LABELS = 40, 9


def tiny(**changes) -> ModelConfig:
    """The tiny preset with layers that do and layers that do not look at the clip."""
    qformer = {"layers": 3, "cross_attention_every": 2}
    encoder = {"depth": 2, "blocks_built": 2}
    return ModelConfig.from_dict(
        {"preset": "tiny", "qformer": qformer, "video_encoder": encoder} | changes
    )


def conversations(cfg: ModelConfig, *, clips: bool = True, instruction: int = 0) -> ChatBatch:
    """Two sequences, each with a clip of three frames or without."""
    ids = torch.randint(5, 100, (2, LENGTH))
    labels = torch.full((2, LENGTH), -100)
    labels[0, -LABELS:] = 3
    if not clips:
        return ChatBatch(ids, torch.ones_like(ids), labels)
    ids[:, 1 : 1 + cfg.num_visual_tokens] = MEDIA_ID
    told = torch.randint(5, 100, (2, instruction)) if instruction else None
    return ChatBatch(
        *(ids, torch.ones_like(ids), labels, torch.randn(2, 3, 3, 32, 32)),
        *(told, None if told is None else torch.ones_like(told)),
    )


def counted(module, arguments) -> int:
    """What torch counts of both passes, with attention as plain products."""
    module.train()
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        module(**arguments)["loss"].backward()
    return counter.get_total_flops()


@pytest.mark.parametrize(
    "freeze", [(), ("video_encoder",), ("qformer",), ("video_encoder", "qformer", "projector")]
)
def test_stage2_counts_what_torch_counts_whatever_is_frozen(freeze):
    cfg = tiny()
    module = VideoChat(cfg, stage=2, freeze=freeze)
    arguments = {"batch": conversations(cfg)}

    assert TrainingFlops(module)(arguments) == counted(module, arguments)


@pytest.mark.parametrize("freeze", [(), ("video_encoder",), ("qformer", "projector")])
@pytest.mark.parametrize("architecture", ["mistral", "phi3"])
def test_stage3_counts_what_torch_counts_with_adapters(freeze, architecture):
    cfg = tiny()
    if architecture == "phi3":
        fused = ("qkv_proj", "o_proj", "gate_up_proj", "down_proj", "lm_head")
        language_model = replace(cfg.language_model, architecture="phi3")
        cfg = replace(cfg, language_model=language_model, lora=LoraConfig(targets=fused))
    module = VideoChat(cfg, stage=3, freeze=freeze)
    arguments = {"batch": conversations(cfg, instruction=7)}

    assert TrainingFlops(module)(arguments) == counted(module, arguments)


@pytest.mark.parametrize("targets", [("q_proj", "v_proj"), ("down_proj",), ("k_proj", "lm_head")])
def test_text_without_a_clip_has_gradients_from_the_first_adapter_on_only(targets):
    cfg = replace(tiny(), lora=LoraConfig(rank=4, targets=targets))
    module = VideoChat(cfg, stage=3)
    arguments = {"batch": conversations(cfg, clips=False)}

    assert TrainingFlops(module)(arguments) == counted(module, arguments)


@pytest.mark.parametrize("frames", [4, 1])
@pytest.mark.parametrize("freeze", [("video_encoder",), (), ("video_encoder", "qformer")])
def test_stage1_counts_what_torch_counts_of_clips_and_of_pictures(freeze, frames):
    module = VideoTextPretraining(tiny(), freeze=freeze)
    texts = torch.randint(7, 100, (3, 11))
    pairs = {"text_ids_BL": texts, "text_mask_BL": torch.ones_like(texts)}
    video = {"video_BTCHW": torch.randn(3, frames, 3, 32, 32), "idx_B": torch.arange(3)}
    arguments = pairs | video

    assert TrainingFlops(module)(arguments) == counted(module, arguments)


def test_recomputed_activations_are_not_counted():
    plain, saving = tiny(), tiny().recomputing()
    batch = {"batch": conversations(plain)}

    module = VideoChat(saving, stage=2)

    assert TrainingFlops(module)(batch) == TrainingFlops(VideoChat(plain, stage=2))(batch)
    assert counted(module, batch) > 1.2 * TrainingFlops(module)(batch)


def test_model_of_unknown_operations_is_refused():
    with pytest.raises(TypeError, match="the operations of Linear are not known"):
        TrainingFlops(torch.nn.Linear(2, 2))

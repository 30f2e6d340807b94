"""Our model of stages 2 and 3 in the sizes and with the weights of a vector, and its tokenizers."""

import re
from collections.abc import Mapping
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from model.config import (
    LanguageModelConfig,
    LanguageModelSizes,
    LoraConfig,
    ModelConfig,
    QFormerConfig,
)
from model.layouts import from_reference
from model.presets import PRESETS
from model.video_chat import VideoChat
from model.weights import load_tensors
from tests.parity.parts import encoder_config
from tests.parity.vectors import Vector

FORMS = {"mistra": "mistral", "vicuna": "vicuna", "phi": "phi3"}
"""What a module's path holds, and the template that it goes with."""
QFORMER_PADDING = {"mistral": "left", "vicuna": "right", "phi3": "left"}
"""Where the original pads what its QFormer reads. On the left, where the position of a word
depends on the longest text of the batch; ours pads on the right."""


class WordTokenizer:
    """The vectors' own tokenizer: an id for each match of an expression."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._words = re.compile(facts["regex"])
        self._ids, self._unknown = facts["vocab"], facts["unk"]
        self.bos_token_id, self.eos_token_id = facts["bos"], facts["eos"]
        self.pad_token_id = self.eos_token_id

    def __call__(
        self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool
    ) -> dict[str, Any]:
        if add_special_tokens or not return_offsets_mapping:
            raise ValueError("the prompts add the special tokens and need the offsets")
        found = list(self._words.finditer(text))
        return {
            "input_ids": [self._ids.get(match.group(), self._unknown) for match in found],
            "offset_mapping": [match.span() for match in found],
        }


def bert_tokenizer(vector: Vector) -> PreTrainedTokenizerFast:
    """The tokenizer of the vector's QFormer: bert-base-uncased's, of another vocabulary."""
    vocabulary = vector.facts["bert_vocab"]
    ids = {word: index for index, word in enumerate(vocabulary)}
    words = Tokenizer(WordPiece(ids, unk_token="[UNK]"))
    words.normalizer = BertNormalizer(lowercase=True)
    words.pre_tokenizer = BertPreTokenizer()
    ends = [("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    words.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        padding_side=QFORMER_PADDING[form_of(vector)],
        truncation_side="left",
    )


def form_of(vector: Vector) -> str:
    """The template of the vector's language model, a name of `model.templates`."""
    found = [name for word, name in FORMS.items() if word in vector.module]
    if len(found) != 1:
        raise ValueError(f"{vector.module}: which language model is it?")
    return found[0]


def build_model(vector: Vector, *, stage: int, bos: str = "word") -> VideoChat:
    """Our model with the vector's weights, in eval mode."""
    model = VideoChat(model_config(vector, bos=bos), stage=stage).eval()
    load_tensors(model, from_reference(vector.weights), source=str(vector.path))
    return model


def model_config(vector: Vector, *, bos: str = "word") -> ModelConfig:
    """Our configuration of the vector's model."""
    facts, form = vector.facts["config"], form_of(vector)
    return ModelConfig(
        _language_model(facts["llm"], form),
        video_encoder=encoder_config(facts["vision_encoder"]),
        qformer=_qformer(facts, len(vector.facts.get("bert_vocab", ()))),
        lora=_lora(facts, form) if facts.get("use_lora") else None,
        template=form,
        instruction_in_qformer=facts.get("qformer_text_input", False),
        bos=bos,
    )


def pixels(image_u8: Tensor, size_px: int) -> Tensor:
    """What the encoder reads of uint8 pixels (N, T, C, H, W), each repeated up to its size."""
    times = size_px // image_u8.shape[-1]
    return image_u8.repeat_interleave(times, -1).repeat_interleave(times, -2)


def _language_model(facts: Mapping[str, Any], form: str) -> LanguageModelConfig:
    architecture = PRESETS[f"videochat2_{form}"].language_model.architecture
    sizes = LanguageModelSizes(
        vocab_size=facts["vocab_size"],
        width=facts["hidden_size"],
        layers=facts["num_hidden_layers"],
        heads=facts["num_attention_heads"],
        kv_heads=facts["num_key_value_heads"],
        ffn_width=facts["intermediate_size"],
        max_positions=facts["max_position_embeddings"],
        rope_theta=facts["rope_theta"],
        norm_eps=facts["rms_norm_eps"],
    )
    return LanguageModelConfig(architecture=architecture, sizes=sizes)


def _qformer(facts: Mapping[str, Any], words: int) -> QFormerConfig:
    bert = facts["qformer_bert"]
    words = words or bert["vocab_size"]
    return QFormerConfig(
        num_queries=facts["num_query_token"],
        num_extra_queries=facts["extra_num_query_token"],
        width=bert["hidden_size"],
        layers=bert["num_hidden_layers"],
        heads=bert["num_attention_heads"],
        ffn_width=bert["intermediate_size"],
        cross_attention_every=bert.get("cross_attention_freq", 2),
        dropout=facts["qformer_hidden_dropout_prob"],
        drop_path=facts.get("qformer_drop_path_rate", 0.0),
        vocab_size=words,
        max_positions=bert["max_position_embeddings"],
        decoder_start_id=words - 1,
    )


def _lora(facts: Mapping[str, Any], form: str) -> LoraConfig:
    default = PRESETS[f"videochat2_{form}"].lora
    if default is None:
        raise ValueError(f"videochat2_{form} has no adapters")
    return LoraConfig(facts["lora_r"], facts["lora_alpha"], facts["lora_dropout"], default.targets)

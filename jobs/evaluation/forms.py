"""The models that are evaluated, ready to be asked."""

from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import nn

from jobs.batches import Chat, ConversationBatches
from jobs.build import chat_tokenizer, model_config
from jobs.contract.evaluation import Evaluate
from jobs.engine import language_model_dtype, precision_of
from jobs.evaluation.fitting import stage_of
from jobs.job import Job
from jobs.stage3 import conversation_batches
from model.stages import initialise
from model.templates import TEMPLATES
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining

Module = TypeVar("Module", bound=nn.Module)
INSTRUCTED = 3
"""The stage whose QFormer may read the instruction."""
LONGEST_TEXT = 2048


@dataclass(frozen=True)
class ChatModel:
    """A model of stage 2 or 3, ready to be asked.

    Attributes:
        module: The model, in eval mode, on its device.
        batches: How conversations become its inputs.
        device: Where it is.
    """

    module: VideoChat
    batches: ConversationBatches
    device: torch.device


def load_chat_model(job: Job, wanted: Evaluate) -> ChatModel:
    """The model of stage 2 or 3 with the weights of the stage to start from.

    Raises:
        RefusedError: There is no such stage.
        WeightsError: Its weights fit neither.
    """
    config, weights = model_config(job.spec.model), job.required_weights()
    stage = stage_of(config, weights, wanted.kind)
    dtype = language_model_dtype(wanted.precision)
    module = VideoChat(config, stage=stage, dtype=dtype)
    initialise(module, weights, stage=None)
    if stage == INSTRUCTED:
        batches = conversation_batches(job, config, LONGEST_TEXT, is_tiled=wanted.tiles is not None)
    else:
        tokenizer, template = chat_tokenizer(job.spec.model), TEMPLATES[config.template]
        chat = Chat(tokenizer, template, config.num_visual_tokens, LONGEST_TEXT)
        tile_px = config.video_encoder.image_size if wanted.tiles is not None else None
        batches = ConversationBatches(chat, None, 0, tile_px=tile_px)
    device = _device()
    return ChatModel(_ready(module, wanted, device), batches, device)


def load_pretrained(job: Job, wanted: Evaluate) -> tuple[VideoTextPretraining, torch.device]:
    """The model of stage 1 with the weights of the stage to start from, and its device.

    Raises:
        RefusedError: There is no such stage.
        WeightsError: Its weights do not fit.
    """
    module = VideoTextPretraining(model_config(job.spec.model))
    initialise(module, job.required_weights(), stage=None)
    device = _device()
    return _ready(module, wanted, device), device


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _ready(module: Module, wanted: Evaluate, device: torch.device) -> Module:
    if precision_of(wanted.precision) != "fp32":
        module = module.to(language_model_dtype(wanted.precision))
    return module.to(device).eval()

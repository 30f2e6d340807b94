"""Trains a small causal language model on text, where no trained one can be had.

VideoChat2's own language models come ready; this makes the tiny one of the demo.
"""

from torch import Tensor, nn
from torch.nn import functional

from jobs.batches import Chat, ConversationBatches
from jobs.build import chat_tokenizer
from jobs.job import Job
from jobs.trainer import begin, train
from model.batch import ChatBatch
from model.errors import SpliceError
from model.language_model import build_language_model
from model.prompt import IGNORED_LABEL
from model.templates import TEMPLATES

PREFIX = "text_model."
"""What stands before the language model's own names in the weights of this stage."""


class TextModel(nn.Module):
    """A causal language model with the loss of a conversation's answers."""

    def __init__(self, language_model: nn.Module) -> None:
        super().__init__()
        self.text_model = language_model

    def forward(self, batch: ChatBatch) -> dict[str, Tensor]:
        """Gives "loss", a float32 scalar: the mean over all labels."""
        if batch.labels is None:
            raise SpliceError("the batch has no labels")
        logits = self.text_model(input_ids=batch.ids, attention_mask=batch.mask).logits
        loss = functional.cross_entropy(
            logits[:, :-1].flatten(0, 1).float(),
            batch.labels[:, 1:].flatten(),
            ignore_index=IGNORED_LABEL,
        )
        return {"loss": loss}


def run(job: Job) -> None:
    """Trains the stage on this rank; see `jobs.trainer.train` for what it raises."""
    recipe, config = begin(job)
    module = TextModel(build_language_model(config.language_model))
    chat = Chat(
        chat_tokenizer(job.spec.model),
        TEMPLATES[config.template],
        0,
        recipe.max_text_tokens,
        recipe.pad_to_multiple,
    )
    batches = ConversationBatches(chat, None, 0)
    train(job, module, batches, image_size=config.video_encoder.image_size)

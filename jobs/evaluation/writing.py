"""What a model writes on after a prompt, as text."""

from jobs.batches import Chat
from model.batch import ChatBatch
from model.video_chat import VideoChat


def write_on(module: VideoChat, chat: Chat, inputs: ChatBatch, max_new_tokens: int) -> list[str]:
    """Continues each prompt greedily, to the end that the template puts to an answer.

    Args:
        module: The model, in eval mode.
        chat: Its tokenizer and template.
        inputs: The prompts, padded on the left.
        max_new_tokens: Longest answer, in tokens.
    """
    end = chat.template.caption_end.strip()
    end_id = chat.tokenizer.get_vocab().get(end, chat.tokenizer.eos_token_id)
    ids = module.generate(inputs, max_new_tokens=max_new_tokens, end_id=end_id, pad_id=chat.pad_id)
    # The end goes by its text, too: Vicuna's ### is more than one token, and not always the same.
    answers = [_to_the_end(row, end_id) for row in ids.tolist()]
    texts = chat.tokenizer.batch_decode(answers, skip_special_tokens=True)
    return [text.split(end)[0].strip() for text in texts]


def _to_the_end(ids: list[int], end_id: int | None) -> list[int]:
    """Ids before the first end; what follows it is padding."""
    return ids[: ids.index(end_id)] if end_id in ids else ids

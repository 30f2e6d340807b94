"""How each language model's conversations look: data, read by `model.prompt`."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Template:
    """The pieces of a sequence, in the order of their appearance.

    `{kind}` is Video or Image; `{time}` the message on frames and seconds, or nothing.
    White space at the very beginning of a sequence, and at the end of a conversation that is
    whole, is dropped.
    """

    system: str
    """The instruction that opens a conversation, with `{instruction}`."""
    media_open: str
    """Before the visual tokens."""
    media_close: str
    """After the visual tokens of a conversation."""
    question_role: str
    """Before a question."""
    question_role_after_media: str
    """Before a question that follows the media at once."""
    question: str
    """A question, with `{question}`."""
    answer_role: str
    """Before an answer."""
    answer: str
    """An answer, with `{answer}`; trained."""
    answer_end: str
    """After each answer; trained."""
    end: str
    """After the last answer; trained."""
    roles_trained: bool
    """The role markers are trained on, too."""
    says_time: bool
    """The frames' seconds are told after a video."""
    question_in_qformer: bool
    """The QFormer reads the first question after the instruction, if there is one."""
    caption_prompt: str
    """After the visual tokens of a caption, with `{prompt}`."""
    caption_end: str
    """After a caption; trained. The two are a text of their own for the tokenizer."""


TEMPLATES: dict[str, Template] = {
    "mistral": Template(
        system="{instruction}",
        media_open=" [INST] <{kind}>",
        media_close="</{kind}>{time} [/INST]",
        question_role=" [INST]",
        question_role_after_media=" [INST]",
        question=" {question} [/INST]",
        answer_role="",
        answer=" {answer}",
        answer_end=" </s>",
        end="",
        roles_trained=False,
        says_time=False,
        question_in_qformer=False,
        caption_prompt="</{kind}> {prompt} [/INST]",
        caption_end="</s>",
    ),
    "vicuna": Template(
        system="{instruction}",
        media_open=" ###Human: <{kind}>",
        media_close="</{kind}>{time}",
        question_role=" ###Human:",
        question_role_after_media=" ###Human:",
        question=" {question}",
        answer_role=" ###Assistant:",
        answer=" {answer}",
        answer_end="",
        end=" ###",
        roles_trained=True,
        says_time=True,
        question_in_qformer=True,
        caption_prompt="</{kind}> {prompt} ###Assistant: ",
        caption_end="###",
    ),
    "phi3": Template(
        system="<|system|>\n{instruction}<|end|>\n",
        media_open="<|user|>\n<{kind}>",
        media_close="</{kind}>{time}\n",
        question_role="<|user|>\n",
        question_role_after_media="",
        question="{question}",
        answer_role="<|end|>\n<|assistant|>\n",
        answer="{answer}",
        answer_end="<|end|>\n",
        end="",
        roles_trained=False,
        says_time=False,
        question_in_qformer=False,
        caption_prompt="</{kind}> {prompt}<|end|>\n<|assistant|>\n",
        caption_end="<|end|>",
    ),
}

CAPTION_PROMPTS: dict[str, tuple[str, ...]] = {
    "video": (
        "Describe the video in one sentence.",
        "Say briefly what happens in the video.",
        "Give a short description of this clip.",
        "Write a concise caption for the video.",
    ),
    "image": (
        "Describe the image in one sentence.",
        "Say briefly what the image shows.",
        "Give a short description of this picture.",
        "Write a concise caption for the image.",
    ),
}
"""What is asked in stage 2; one is drawn for a batch."""

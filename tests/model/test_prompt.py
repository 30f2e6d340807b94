import subprocess
import sys

import pytest

from model.errors import PromptError
from model.prompt import (
    Turn,
    qformer_instruction,
    render_caption,
    render_conversation,
    time_message,
)
from model.templates import TEMPLATES

TWO_TURNS = [Turn("what runs?", "a dog."), Turn(" why ", " well ")]
SECONDS = (0.4, 1.3)


def text(segments):
    """The whole sequence; a bar stands where the tokenizer starts anew without a clip."""
    return "".join(
        "<96>" if segment.is_media else segment.text if segment.joined else f"|{segment.text}"
        for segment in segments
    )


def conversation(name, turns=TWO_TURNS, **options):
    options = {"kind": "video", "instruction": "Answer well .", "seconds": SECONDS} | options
    return render_conversation(TEMPLATES[name], turns, **options)


CONVERSATIONS = {
    "mistral": (
        "Answer well . [INST] <Video><96></Video> [/INST] [INST] what runs? [/INST] a dog. </s>"
        " [INST] why [/INST] well </s>"
    ),
    "vicuna": (
        "Answer well . ###Human: <Video><96></Video>"
        " The video contains 2 frames sampled at 0.4, 1.3 seconds."
        " ###Human: what runs? ###Assistant: a dog. ###Human: why ###Assistant: well ###"
    ),
    "phi3": (
        "<|system|>\nAnswer well .<|end|>\n<|user|>\n<Video><96></Video>\nwhat runs?<|end|>\n"
        "<|assistant|>\na dog.<|end|>\n<|user|>\nwhy<|end|>\n<|assistant|>\nwell<|end|>"
    ),
}

TRAINED = {
    "mistral": " a dog. </s>| well </s>",
    "vicuna": " ###Human:| ###Assistant: a dog. ###Human:| ###Assistant: well ###",
    "phi3": "a dog.<|end|>\n|well<|end|>",
}


def trained_text(segments):
    marked = "".join(segment.text if segment.trained else "\0" for segment in segments)
    return "|".join(piece for piece in marked.split("\0") if piece)


@pytest.mark.parametrize("name", TEMPLATES)
def test_conversation_reads_as_the_template_says(name):
    assert text(conversation(name)) == CONVERSATIONS[name]


@pytest.mark.parametrize("name", TEMPLATES)
def test_conversation_trains_answers_and_what_the_template_adds(name):
    assert trained_text(conversation(name)) == TRAINED[name]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mistral", "[INST] <Image><96></Image> [/INST] a dog. </s>"),
        ("vicuna", "###Human: <Image><96></Image> ###Assistant: a dog. ###"),
        ("phi3", "<|user|>\n<Image><96></Image>\n<|end|>\n<|assistant|>\na dog.<|end|>"),
    ],
)
def test_image_without_instruction_and_question(name, expected):
    segments = conversation(name, [Turn("", "a dog.")], kind="image", instruction="")

    assert text(segments) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mistral", "[INST] why [/INST] well </s>"),
        ("vicuna", "###Human: why ###Assistant: well ###"),
        ("phi3", "<|user|>\nwhy<|end|>\n<|assistant|>\nwell<|end|>"),
    ],
)
def test_text_alone_has_no_media(name, expected):
    segments = conversation(name, [Turn("why", "well")], kind=None, instruction="")

    assert text(segments) == expected


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        ("mistral", " [INST] why [/INST] Best option:("),
        ("vicuna", " ###Human: why ###Assistant: Best option:("),
        ("phi3", "\nwhy<|end|>\n<|assistant|>\nBest option:("),
    ],
)
def test_open_answer_ends_with_its_beginning(name, ending):
    segments = conversation(name, [Turn("why", None)], answer_start="Best option:(")

    assert text(segments).endswith(ending)
    assert "Best" not in trained_text(segments)


@pytest.mark.parametrize(
    ("name", "expected", "trained"),
    [
        ("mistral", "[INST] <Video><96></Video> Describe [/INST]|a dog.</s>", "a dog.</s>"),
        ("vicuna", "###Human: <Video><96></Video> Describe ###Assistant: |a dog.###", "a dog.###"),
        (
            "phi3",
            "<|user|>\n<Video><96></Video> Describe<|end|>\n<|assistant|>\n|a dog.<|end|>",
            "a dog.<|end|>",
        ),
    ],
)
def test_caption_reads_as_the_template_says(name, expected, trained):
    segments = render_caption(TEMPLATES[name], kind="video", prompt="Describe", caption=" a dog. ")

    assert (text(segments), trained_text(segments)) == (expected, trained)


def test_end_of_a_caption_can_be_left_out_of_the_loss():
    segments = render_caption(
        TEMPLATES["mistral"], kind="video", prompt="Describe", caption="a dog.", end_trained=False
    )

    assert (text(segments)[-11:], trained_text(segments)) == ("|a dog.</s>", "a dog.")


@pytest.mark.parametrize(
    ("name", "instruction", "expected"),
    [
        ("mistral", " Answer well . ", "Answer well ."),
        ("phi3", "Answer well .", "Answer well ."),
        ("vicuna", "Answer well .", "Answer well . what runs?"),
        ("vicuna", "", ""),
    ],
)
def test_qformer_reads_the_instruction_and_with_vicuna_the_question(name, instruction, expected):
    assert qformer_instruction(TEMPLATES[name], instruction, " what runs? ") == expected


def test_qformer_of_vicuna_reads_the_instruction_alone_where_nothing_is_asked():
    assert qformer_instruction(TEMPLATES["vicuna"], "Describe .", "") == "Describe ."


def test_caption_to_be_written_is_left_out():
    segments = render_caption(TEMPLATES["mistral"], kind="image", prompt="Describe", caption=None)

    assert text(segments) == "[INST] <Image><96></Image> Describe [/INST]"


@pytest.mark.parametrize("turns", [[], [Turn("a", None), Turn("b", "c")]])
def test_conversation_without_answer_before_the_last_is_refused(turns):
    with pytest.raises(PromptError, match="all but the last with an answer"):
        conversation("mistral", turns)


def test_time_message_rounds_to_tenths():
    assert time_message([0, 0.48, 3.96]) == (
        " The video contains 3 frames sampled at 0.0, 0.5, 4.0 seconds."
    )
    assert time_message([]) == ""


def test_prompt_needs_no_torch():
    code = "import sys, model.prompt; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], timeout=180, check=False).returncode == 0

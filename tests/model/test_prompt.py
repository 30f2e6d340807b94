import subprocess
import sys

import pytest

from model.batch import pad_prompts
from model.errors import PromptError
from model.prompt import (
    MEDIA_ID,
    Segment,
    TokenizedPrompt,
    Turn,
    render_caption,
    render_conversation,
    time_message,
    tokenize,
)
from model.templates import TEMPLATES

TWO_TURNS = [Turn("what runs?", "a dog."), Turn(" why ", " well ")]
SECONDS = (0.4, 1.3)


def text(segments):
    return "".join("<96>" if segment.is_media else segment.text for segment in segments)


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
        "<|assistant|>\na dog.<|end|>\n<|user|>\nwhy<|end|>\n<|assistant|>\nwell<|end|>\n"
    ),
}

TRAINED = {
    "mistral": " a dog. </s>| well </s>",
    "vicuna": " ###Human:| ###Assistant: a dog. ###Human:| ###Assistant: well ###",
    "phi3": "a dog.<|end|>\n|well<|end|>\n",
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
        ("phi3", "<|user|>\n<Image><96></Image>\n<|end|>\n<|assistant|>\na dog.<|end|>\n"),
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
        ("phi3", "<|user|>\nwhy<|end|>\n<|assistant|>\nwell<|end|>\n"),
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
        ("mistral", "[INST] <Video><96></Video> Describe [/INST] a dog.</s>", " a dog.</s>"),
        ("vicuna", "###Human: <Video><96></Video> Describe ###Assistant: a dog.###", " a dog.###"),
        (
            "phi3",
            "<|user|>\n<Video><96></Video> Describe<|end|>\n<|assistant|>\na dog.<|end|>",
            "a dog.<|end|>",
        ),
    ],
)
def test_caption_reads_as_the_template_says(name, expected, trained):
    segments = render_caption(TEMPLATES[name], kind="video", prompt="Describe", caption=" a dog. ")

    assert (text(segments), trained_text(segments)) == (expected, trained)


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


def spell(prompt, tokenizer):
    words = ["M" if i == MEDIA_ID else tokenizer.convert_ids_to_tokens(i) for i in prompt.ids]
    marks = [
        "" if label == -100 else "*" for label, i in zip(prompt.labels, prompt.ids, strict=True)
    ]
    return " ".join(word + mark for word, mark in zip(words, marks, strict=True))


def run(segments, tokenizer, length=100, limit="all"):
    prompt = tokenize(segments, tokenizer, max_text_length=length, num_visual_tokens=2, limit=limit)
    return spell(prompt, tokenizer)


def test_mistral_labels_are_answers_and_their_ends(tokenizer):
    segments = conversation("mistral", [Turn("what", "a dog"), Turn("why", "well")])

    assert run(segments, tokenizer) == (
        "<s> Answer well . [INST] <Video> M M </Video> [/INST] [INST] what [/INST]"
        " a* dog* </s>* [INST] why [/INST] well* </s>*"
    )


def test_vicuna_labels_are_answers_and_role_markers(tokenizer):
    segments = conversation("vicuna", [Turn("what", "a dog"), Turn("why", "well")], seconds=())

    assert run(segments, tokenizer) == (
        "<s> Answer well . ### Human: <Video> M M </Video> ###* Human:* what"
        " ###* Assistant:* a* dog* ###* Human:* why ###* Assistant:* well* ###*"
    )


def test_phi3_labels_are_answers_and_their_ends(tokenizer):
    segments = conversation("phi3", [Turn("what", "a dog"), Turn("why", "well")])

    assert run(segments, tokenizer) == (
        "<s> <|system|> Answer well . <|end|> <|user|> <Video> M M </Video> what <|end|>"
        " <|assistant|> a* dog* <|end|>* <|user|> why <|end|> <|assistant|> well* <|end|>*"
    )


def test_caption_labels_are_the_caption_and_its_end(tokenizer):
    segments = render_caption(
        TEMPLATES["mistral"], kind="video", prompt="Describe", caption="a man runs"
    )

    assert run(segments, tokenizer) == (
        "<s> [INST] <Video> M M </Video> Describe [/INST] a* man* runs* </s>*"
    )


def test_label_is_the_id_at_its_own_position(tokenizer):
    prompt = tokenize(conversation("mistral"), tokenizer, max_text_length=99, num_visual_tokens=2)

    trained = [(i, label) for i, label in zip(*prompt, strict=True) if label != -100]
    assert all(token_id == label for token_id, label in trained)


def test_long_conversation_is_cut_on_the_right(tokenizer):
    segments = conversation("mistral", [Turn("what", "a dog")])

    assert run(segments, tokenizer, length=12) == (
        "<s> Answer well . [INST] <Video> M M </Video> [/INST] [INST] what [/INST] a*"
    )


def test_long_caption_is_cut_without_counting_the_prompt(tokenizer):
    segments = render_caption(
        TEMPLATES["mistral"], kind="video", prompt="Describe", caption="a man runs"
    )

    assert run(segments, tokenizer, length=2, limit="trained") == (
        "<s> [INST] <Video> M M </Video> Describe [/INST] a* man*"
    )


def test_text_that_leaves_no_room_for_the_clip_is_refused(tokenizer):
    with pytest.raises(PromptError, match="before the clip has 6 tokens, max_text_length 4"):
        run(conversation("mistral"), tokenizer, length=4)


class Chunks:
    """Tokens of a fixed number of characters, no BOS."""

    bos_token_id = None

    def __init__(self, size):
        self.size = size

    def __call__(self, text, *, add_special_tokens, return_offsets_mapping):
        assert (add_special_tokens, return_offsets_mapping) == (False, True)
        spans = [(i, min(i + self.size, len(text))) for i in range(0, len(text), self.size)]
        return {"input_ids": [ord(text[begin]) for begin, _ in spans], "offset_mapping": spans}


def test_tokenizer_without_bos_gets_none():
    segments = [Segment("ab"), Segment("", is_media=True), Segment("c"), Segment("d", trained=True)]

    prompt = tokenize(segments, Chunks(1), max_text_length=9, num_visual_tokens=1)

    assert prompt == TokenizedPrompt([97, 98, -200, 99, 100], [-100, -100, -100, -100, 100])


def test_token_over_a_border_is_trained_when_its_end_is():
    segments = [Segment("abc"), Segment("def", trained=True), Segment("gh")]

    prompt = tokenize(segments, Chunks(2), max_text_length=9, num_visual_tokens=1)

    # ab, cd, ef, gh
    assert prompt.labels == [-100, ord("c"), ord("e"), -100]


@pytest.mark.parametrize(
    ("side", "ids", "labels"),
    [
        ("right", [[5, 6, 7], [8, 0, 0]], [[-100, 6, 7], [8, -100, -100]]),
        ("left", [[5, 6, 7], [0, 0, 8]], [[-100, 6, 7], [-100, -100, 8]]),
    ],
)
def test_prompts_are_padded_on_the_asked_side(side, ids, labels):
    prompts = [TokenizedPrompt([5, 6, 7], [-100, 6, 7]), TokenizedPrompt([8], [8])]

    batch = pad_prompts(prompts, pad_id=0, side=side)

    assert (batch.ids.tolist(), batch.labels.tolist()) == (ids, labels)
    assert batch.mask.tolist() == [[1, 1, 1], [1, 0, 0] if side == "right" else [0, 0, 1]]


def test_prompt_needs_no_torch():
    code = "import sys, model.prompt; sys.exit('torch' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0

import pytest
import torch
from tokenizers import Regex, Tokenizer, pre_tokenizers
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from model.batch import ChatBatch
from model.config import ModelConfig
from model.presets import PRESETS
from model.prompt import MEDIA_ID
from model.video_chat import VideoChat
from model.video_text import VideoTextPretraining

TINY = PRESETS["tiny"]
VISUAL = TINY.num_visual_tokens


@pytest.fixture
def tiny() -> ModelConfig:
    return TINY


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def _stage2():
    torch.manual_seed(0)
    return VideoChat(TINY, stage=2)


@pytest.fixture
def stage2(_stage2) -> VideoChat:
    """The tiny model of stage 2 in eval mode; tests do not change its weights."""
    _stage2.zero_grad()
    return _stage2.eval()


@pytest.fixture
def stage3() -> VideoChat:
    return VideoChat(TINY, stage=3).eval()


@pytest.fixture
def stage1() -> VideoTextPretraining:
    return VideoTextPretraining(TINY).eval()


@pytest.fixture
def make_batch():
    """Make `rows` sequences of 1 + visual + 6 tokens, each with a clip; the last 3 are trained."""

    def make(rows: int = 2, *, instruction: bool = False, frames: int = 4) -> ChatBatch:
        words = torch.randint(3, 200, (rows, 7))
        media = torch.full((rows, VISUAL), MEDIA_ID)
        ids = torch.cat([words[:, :1], media, words[:, 1:]], dim=1)
        labels = torch.full_like(ids, -100)
        labels[:, -3:] = ids[:, -3:]
        return ChatBatch(
            ids,
            torch.ones_like(ids),
            labels,
            torch.randn(rows, frames, 3, 32, 32),
            torch.randint(1, 199, (rows, 5)) if instruction else None,
            torch.ones(rows, 5, dtype=torch.int64) if instruction else None,
        )

    return make


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """Words between spaces; markers of the templates are words of their own."""
    markers = r"</?s>|###|<\|\w+\|>|</?Video>|\[/?INST\]|Human:|Assistant:"
    text = "a b c d e f g h Answer well . what why man runs dog Describe in one sentence."
    time = "The video contains 2 frames sampled at 0.4, 1.3 seconds."
    marks = (
        "<s> </s> ### <|system|> <|user|> <|assistant|> <|end|> <Video> </Video> <Image> "
        "</Image> [INST] [/INST] Human: Assistant: <unk>"
    )
    vocab = {word: index for index, word in enumerate(f"{marks} {text} {time}".split())}
    vocab = {word: index for index, word in enumerate(vocab)}
    words = Tokenizer(WordLevel(vocab, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Split(Regex(markers), behavior="isolated"),
        ]
    )
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", unk_token="<unk>")

"""Whether a stage's video encoder is compiled, and what keeps it from being.

Notable: only the encoder's blocks are: they see the same shapes in every step and hold most of
the operations outside the language model, which is another library's. `auto` leaves a CPU alone:
there the compiled step of three blocks of width 384 took as long as the plain one (0.99 of its
speed) after 11 s of the processor for the compilation, which each attempt on a new node begins
with (`python -m bench.compile`, torch 2.13). On a GPU it is on by what compilers are known to do
there (they join the norms, GELU and sums into few kernels); the same command measures it.
"""

import os
import shutil

import torch
from torch import nn

from jobs.contract.spec import Train
from jobs.job import RefusedError
from jobs.log import say
from model.video_encoder import VideoEncoder

COMPILERS = {"CXX": ("g++", "clang++"), "CC": ("gcc", "clang", "cc")}
"""By the variable that names another one: what torch looks for on a CPU, and what Triton does."""


def compile_encoder(module: nn.Module, recipe: Train) -> bool:
    """Has the blocks of the module's video encoder compiled at the first step, if so wished.

    Args:
        module: The stage's model.
        recipe: Its `compile` says what is wished.

    Returns:
        Whether they will be.

    Raises:
        RefusedError: It was wished for (`on`) and cannot be done; the text says why.
    """
    has_gpu = torch.cuda.is_available()
    if recipe.compile == "off" or (recipe.compile == "auto" and not has_gpu):
        return False
    encoder = getattr(module, "video_encoder", None)
    hindrance = hindrance_of(encoder, recipe.zero_stage, has_gpu=has_gpu)
    if hindrance and recipe.compile == "on":
        raise RefusedError(f"compile: on, but {hindrance}; set it to auto or off")
    if hindrance or not isinstance(encoder, VideoEncoder):
        say(f"compile: auto is off: {hindrance}")
        return False
    encoder.compile_blocks()
    say("compile: the video encoder is compiled at the first step, which takes longer")
    return True


def hindrance_of(encoder: object, zero_stage: int, *, has_gpu: bool) -> str:
    """What keeps an encoder from being compiled here; empty: nothing."""
    if not isinstance(encoder, VideoEncoder):
        return "the stage has no video encoder"
    if zero_stage == 3:  # noqa: PLR2004 - a stage's number
        return "zero_stage is 3: DeepSpeed brings the weights of each layer while it runs"
    if encoder.cfg.drop_path:
        return "video_encoder.drop_path is not 0: each block would be compiled for itself"
    return _missing_tool(has_gpu=has_gpu)


def _missing_tool(*, has_gpu: bool) -> str:
    """What torch would lack to compile; empty: nothing."""
    variable = "CC" if has_gpu else "CXX"
    named = os.environ.get(variable)
    wanted = (named.split()[0],) if named else COMPILERS[variable]
    if not any(map(shutil.which, wanted)):
        return f"there is no compiler: {' or '.join(wanted)} (${variable}) is not on PATH"
    if has_gpu and not _has_triton():
        return "Triton, which makes a GPU's kernels, is not installed"
    if not _is_reproducible():
        return f"torch {torch.__version__} chooses kernels by their speed: a resume would differ"
    return ""


def _has_triton() -> bool:
    from torch.utils._triton import has_triton  # noqa: PLC0415 - see below

    return bool(has_triton())


def _is_reproducible() -> bool:
    """Whether this torch can be kept from timing kernels to choose one."""
    from torch._inductor import config  # noqa: PLC0415 - slow, and of use where one compiles

    return hasattr(config, "deterministic")

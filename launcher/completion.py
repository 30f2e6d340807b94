"""Scripts for a shell that completes what is typed, made by shtab from the parsers themselves.

They are static, so that no Python starts at a key: run ids and stages are names of folders, which
the shell finds itself below `LAUNCHER_RUNS`, else `./runs`.
"""

import argparse
from pathlib import Path
from typing import Final

import shtab

SHELLS: Final = ("bash", "zsh")

_BASH: Final = r"""
_launcher_pipelines() {
  compgen -d -- "$1"
  compgen -f -X '!*.y*ml' -- "$1"
}
_launcher_runs() {
  local file
  for file in "${LAUNCHER_RUNS:-runs}/$1"*/pipeline.yaml; do
    [ -e "$file" ] || continue
    file=${file%/pipeline.yaml}
    echo "${file##*/}"
  done
}
_launcher_stages() {
  local folder newest= stage
  for folder in "${LAUNCHER_RUNS:-runs}"/*/; do
    [ "$folder/pipeline.yaml" -nt "$newest/pipeline.yaml" ] && newest=$folder
  done
  for stage in "$newest/stages/$1"*/; do
    [ -d "$stage" ] || continue
    stage=${stage%/}
    echo "${stage##*/}"
  done
}
"""
_ZSH: Final = r"""
_launcher_runs() {
  local -a found=(${LAUNCHER_RUNS:-runs}/*/pipeline.yaml(N:h:t))
  compadd -a found
}
_launcher_stages() {
  local -a newest=(${LAUNCHER_RUNS:-runs}/*/pipeline.yaml(Nom[1]:h))
  local -a found=($newest/stages/*(N/:t))
  compadd -a found
}
"""
PREAMBLE: Final = {"bash": _BASH, "zsh": _ZSH}

_PIPELINE: Final = {"bash": "_launcher_pipelines", "zsh": "_files -g '*.y(a|)ml'"}
_RUN: Final = {"bash": "_launcher_runs", "zsh": "_launcher_runs"}
_STAGE: Final = {"bash": "_launcher_stages", "zsh": "_launcher_stages"}
_FILES: Final = {"bash": "_shtab_compgen_files", "zsh": "_files"}
_FOLDERS: Final = {"bash": "_shtab_compgen_dirs", "zsh": "_files -/"}
_BY_NAME: Final = {
    "pipeline": _PIPELINE,
    "run": _RUN,
    "run_too": _RUN,
    "stage": _STAGE,
    "stages": _STAGE,
    "start": _STAGE,
}
"""How an argument is completed, by its name among the parsed ones."""
_FOLDER: Final = "FOLDER"


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script for a shell.

    Args:
        parser: Of the program, with the arguments of all commands. It is changed.
        shell: One of `SHELLS`.
    """
    _teach(parser)
    return shtab.complete(parser, shell, preamble=PREAMBLE[shell])


def _teach(parser: argparse.ArgumentParser) -> None:
    """Tells shtab how each argument is completed, down to those of the commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            action.help = None  # shtab leaves out what help hides
            for listed in action._choices_actions:
                subparser = action.choices[listed.dest]
                subparser.description = listed.help  # zsh shows its first line
                _teach(subparser)
        elif completed := _completed(action):
            vars(action)["complete"] = completed


def _completed(action: argparse.Action) -> dict[str, str] | None:
    """What completes an argument; None: nothing, or its own choices."""
    if action.nargs == 0 or action.choices is not None:
        return None
    if action.dest in _BY_NAME:
        return _BY_NAME[action.dest]
    if action.type is Path:
        return _FOLDERS if action.metavar == _FOLDER else _FILES
    return None

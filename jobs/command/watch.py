"""Keeps manifests of the checkpoints that a foreign program saves.

Notable: nothing of the program's is touched. Each of its complete checkpoints gets a folder of
ours that holds a manifest alone, whose files have absolute names; where the program has removed
its files (its own rotation), our folder goes too.
"""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from jobs.command.digests import Digesting, sizes_alone
from jobs.command.foreign import Foreign, Look, find_complete, look_at
from jobs.contract.command import Watched
from jobs.contract.manifest import (
    NAME,
    CheckpointFile,
    Manifest,
    checkpoint_folders,
    faults,
    read_manifest,
    write_manifest,
)
from jobs.contract.paths import StageFolder


@dataclass(frozen=True)
class Saved:
    """A checkpoint of the stage.

    Attributes:
        folder: Ours, with the manifest.
        manifest: What it says.
    """

    folder: Path
    manifest: Manifest


class Watch:
    """Looks after the checkpoints of one stage; on rank 0.

    Args:
        folder: The stage's.
        watched: What the program saves.
        pattern: Its glob, with an absolute path.
        usual: What all manifests of this attempt have in common.
    """

    def __init__(
        self, folder: StageFolder, watched: Watched, pattern: str, usual: Manifest
    ) -> None:
        self._folder, self._watched, self._pattern = folder, watched, pattern
        self._usual = usual
        self._kept: dict[Path, Look] = {}
        self._seen: dict[Path, Look] = {}
        self._bad: set[Path] = set()
        self._digesting: tuple[Foreign, Digesting] | None = None

    def goes_on_from(self, saved: Saved | None) -> None:
        """Says what the checkpoints of this attempt were made from."""
        parent = None if saved is None else str(saved.folder)
        self._usual = replace(self._usual, parent=parent)

    def complete(self) -> list[Foreign]:
        """The program's complete checkpoints, newest first."""
        return find_complete(self._watched, self._pattern) if self._watched.watch else []

    def recorded(self) -> list[Saved]:
        """What our manifests say of the program's checkpoints, newest first, true or not."""
        read = (
            (path, read_manifest(path)) for path in checkpoint_folders(self._folder.checkpoints)
        )
        return [Saved(path, m) for path, m in read if m is not None and m.source is not None]

    def kept(self) -> list[Saved]:
        """The stage's valid checkpoints, newest first."""
        return [
            saved
            for saved in self.recorded()
            if saved.folder not in self._bad
            and not faults(saved.folder, saved.manifest, digests=False)
        ]

    def pass_over(self, saved: Saved) -> None:
        """Never counts this checkpoint again; its manifest stays, it is what shows the damage."""
        self._bad.add(saved.folder)

    def look(self) -> list[Saved]:
        """Takes note of what has changed; gives the checkpoints that are new. Never waits long.

        A checkpoint counts when it is complete and has not changed since the last look.
        """
        found = self.complete()
        self._drop_stale(found)
        saved = self._take_digested()
        calm = [each for each in self._new(found) if self._seen.get(each.path) == each.look]
        self._seen = {each.path: each.look for each in found}
        if calm and not self._watched.digest:
            saved += [self._keep(each, sizes_alone(each.look)) for each in calm]
        elif calm and self._digesting is None:
            self._digesting = calm[0], Digesting(calm[0].look)
        return saved

    def settle(self, *, at_rest: bool, ends_at: float | None) -> list[Saved]:
        """The same when the program is over: nothing changes any more, and nothing comes later.

        Sizes are recorded at once, digests as far as the time allows.

        Args:
            at_rest: The program ended by itself, so nothing was cut off.
            ends_at: When there is no more time, monotonic seconds; None: there is enough.
        """
        found = self.complete()
        self._drop_stale(found)
        sure = at_rest or bool(self._watched.complete_when)
        new = [e for e in self._new(found) if sure or self._seen.get(e.path) == e.look]
        saved = {each.path: self._keep(each, sizes_alone(each.look)) for each in new}
        for each in new if self._watched.digest else ():
            digesting = self._digesting_of(each)
            if not digesting.wait(ends_at):
                digesting.give_up()
                break
            if digesting.files is not None:
                saved[each.path] = self._keep(each, tuple(digesting.files))
        self._digesting = None
        return list(saved.values())

    def finish(self, step: int, files: tuple[CheckpointFile, ...], source: str | None) -> Saved:
        """Marks the stage done with these files."""
        manifest = replace(self._usual, step=step, files=files, source=source, final=True)
        folder = self._folder.checkpoint(step, final=True)
        write_manifest(folder, manifest)
        return Saved(folder, manifest)

    def _new(self, found: list[Foreign]) -> list[Foreign]:
        return [each for each in found if self._kept.get(each.path) != each.look]

    def _drop_stale(self, found: list[Foreign]) -> None:
        """Drops our folders of checkpoints that are gone, or were saved anew since."""
        at = {each.path: each for each in found}
        for saved in self.recorded():
            source = Path(saved.manifest.source or "")
            each, known = at.get(source), self._kept.get(source)
            if saved.manifest.final:
                continue
            if each is None or (each.look != known if known else _is_older(saved, each)):
                shutil.rmtree(saved.folder, ignore_errors=True)
                self._kept.pop(source, None)
                self._bad.discard(saved.folder)
            elif known is None:  # an earlier attempt's
                self._kept[source] = each.look

    def _take_digested(self) -> list[Saved]:
        if self._digesting is None or not self._digesting[1].wait():
            return []
        each, digesting = self._digesting
        self._digesting = None
        if digesting.files is None or look_at(each.path) != each.look:
            return []
        return [self._keep(each, tuple(digesting.files))]

    def _digesting_of(self, each: Foreign) -> Digesting:
        """The reading of a checkpoint that is under way, or a new one."""
        if self._digesting is not None:
            under_way, digesting = self._digesting
            if under_way == each:
                return digesting
            digesting.give_up()
        return Digesting(each.look)

    def _keep(self, each: Foreign, files: tuple[CheckpointFile, ...]) -> Saved:
        manifest = replace(
            self._usual, step=each.step, files=files, save_s=each.save_s, source=str(each.path)
        )
        folder = self._folder.checkpoint(each.step)
        write_manifest(folder, manifest)
        self._kept[each.path] = each.look
        return Saved(folder, manifest)


def _is_older(saved: Saved, each: Foreign) -> bool:
    """Whether a checkpoint was saved after its manifest; a file that only differs is damaged."""
    return (saved.folder / NAME).stat().st_mtime_ns < each.saved_at

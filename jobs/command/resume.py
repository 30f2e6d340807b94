"""Which of a foreign program's checkpoints an attempt goes on from."""

from pathlib import Path
from typing import Final

from jobs.command.watch import Saved, Watch
from jobs.contract.manifest import faults
from jobs.job import Job, RefusedError
from jobs.log import say

_REASONS_SHOWN: Final = 3


def resume_point(job: Job, watch: Watch, *, adopt: bool) -> Saved | None:
    """The newest checkpoint whose files verify; None: start from the beginning.

    Args:
        job: Rank 0's view of the attempt.
        watch: Of the stage.
        adopt: Checkpoints that are there before the first attempt are the stage's own.

    Raises:
        RefusedError: There are checkpoints of somebody else's, or none of the stage's is valid.
    """
    if not adopt:
        _refuse_others(job, watch)
    recorded = watch.recorded()
    there = {each.path for each in watch.complete()}
    if recorded and there.isdisjoint(Path(saved.manifest.source or "") for saved in recorded):
        raise _refusal(job, recorded[0], f"all {len(recorded)} checkpoints of the stage are gone")
    # What a killed attempt has saved and not recorded; its digests are of this moment.
    new = {saved.folder for saved in watch.settle(at_rest=False, ends_at=None)}
    return _newest_valid(job, watch, verified=new)


def _newest_valid(job: Job, watch: Watch, *, verified: set[Path]) -> Saved | None:
    bad = []
    for saved in watch.recorded():
        wrong = (
            [] if saved.folder in verified else faults(saved.folder, saved.manifest, digests=True)
        )
        if not wrong:
            return saved
        watch.pass_over(saved)
        bad.append(saved)
        reason = "; ".join(wrong[:_REASONS_SHOWN])
        job.tell("bad_checkpoint", path=str(saved.folder), reason=reason)
        say(f"passed over {saved.manifest.source}: {reason}")
    if bad:
        raise _refusal(job, bad[0], f"none of the {len(bad)} checkpoints is valid")
    return None


def _refusal(job: Job, newest: Saved, what: str) -> RefusedError:
    return RefusedError(
        f"{what}; the newest: {newest.manifest.source}. Restore them, or remove "
        f"{job.folder.checkpoints} to start at step 0",
        fault="checkpoints",
    )


def _refuse_others(job: Job, watch: Watch) -> None:
    """Before its first attempt a stage has no checkpoints: those there are another run's."""
    began = job.folder.root / "began"
    if not began.exists() and (found := watch.complete()):
        raise RefusedError(
            f"{found[0].path} was there before this stage's first attempt: another run's, as it "
            "seems; have the program save in {checkpoints}, or set checkpoints.adopt: true",
            fault="checkpoints",
        )
    began.touch()

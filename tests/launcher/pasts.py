"""Earlier runs in a ledger, for tests of what is made of them."""

from db.ledger import Ledger
from db.schema import Attempt, Checkpoint
from tests.launcher.worlds import stage_rows

GB = 10**9


def put_attempt(ledger: Ledger, stage: str, **fields: object) -> Attempt:
    """An attempt of a stage of the newest run: an hour, in it 300 steps of 10 s."""
    row = stage_rows(ledger)[stage]
    usual: dict[str, object] = {
        "submission_id": row.submissions[-1].id,
        "stage_run_id": row.id,
        "cluster": "slurm",
        "slurm_id": "7",
        "restart": 0,
        "state": "REQUEUED",
        "started_at": 1000.0,
        "ended_at": 4600.0,
        "wall_clock_s": 3600.0,
        "first_step": 0,
        "last_step": 300,
        "total_steps": 720,
        "step_s": 10.0,
        "num_nodes": 1,
    }
    with ledger.write() as session:
        attempt = Attempt(**(usual | fields))  # type: ignore[arg-type]
        session.add(attempt)
    return attempt


def put_checkpoints(ledger: Ledger, stage: str, *saved: tuple[int, float]) -> None:
    """Checkpoints of the newest run's stage: bytes, and seconds until they were on the disk."""
    row = stage_rows(ledger)[stage]
    with ledger.write() as session:
        for step, (size, save_s) in enumerate(saved):
            session.add(
                Checkpoint(
                    stage_run_id=row.id,
                    step=step,
                    path=f"step-{step}",
                    bytes=size,
                    files=1,
                    digest="",
                    final=False,
                    save_s=save_s,
                    created_at=float(step),
                )
            )


__all__ = ["GB", "put_attempt", "put_checkpoints"]

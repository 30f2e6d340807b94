"""The ledger that `bench.large_ledger` measures on is one that the launcher could have written."""

from pathlib import Path

import pytest
from sqlalchemy import func, select

from bench.large_ledger import make_ledger
from db.engine import ledger_url
from db.ledger import Ledger
from db.queries import newest_run, stages_of
from db.schema import Attempt, StageRun, Submission


@pytest.mark.parametrize(("stages", "attempts"), [(10, 30), (203, 600), (3, 3)])
def test_made_ledger_has_the_size_that_was_asked_for(
    tmp_path: Path, stages: int, attempts: int
) -> None:
    make_ledger(tmp_path, stages, attempts)

    with Ledger.open(ledger_url(tmp_path, {}), create=False).read() as session:
        assert session.scalar(select(func.count()).select_from(StageRun)) == stages
        found = session.scalar(select(func.count()).select_from(Attempt))
        opened = select(func.count()).select_from(Submission).where(Submission.state == "submitted")
        assert session.scalar(opened) == 1
        run = newest_run(session)
        states = [str(row.state) for row in stages_of(session, run.id)]
    assert found == attempts
    assert states[:2] == ["done", "running"]

"""What can happen to a run: each function is one kind of event in a `World`."""

from collections.abc import Callable
from random import Random

from tests.launcher.histories import UID_OF_ANOTHER, Start, World
from tests.launcher.model_scheduler import Job

Event = Callable[[World], None]


def run_history(start: Start, seed: int, uid: int) -> World:
    """One history from its seed: 8 to 22 events, then calm."""
    random = Random(seed)
    world = World(start, random, uid)
    _choose_site(world)
    events, weights = zip(*EVENTS.items(), strict=True)
    for event in random.choices(events, weights, k=random.randint(6, 18)):
        event(world)
        if random.random() < 0.5:
            world.a_pass()
        if world.wrong:
            return world
    world.calm()
    return world


def _choose_site(world: World) -> None:
    """The version, the habits and the clocks of a site."""
    random, truth = world.random, world.truth
    truth.old = random.random() < 0.5
    truth.min_job_age_s = random.choice((30.0, 300.0, 300.0))
    truth.accounts = random.random() < 0.85
    truth.kills_invalid = random.random() < 0.2
    truth.skew_s = random.choice((0.0, 0.0, -120.0, 90.0))
    world.training.skew_s = random.choice((0.0, 0.0, -600.0, 400.0))
    truth.queue_lag_s = random.choice((0.0, 0.0, 0.0, 30.0))
    truth.past_lag_s = random.choice((0.0, 0.0, 30.0, 120.0))
    world.note(f"site: old {truth.old} age {truth.min_job_age_s} accounts {truth.accounts}")


def _advance(world: World) -> None:
    world.truth.advance(world.random.choice((30, 60, 180, 600, 1500)))


def _look(world: World) -> None:
    world.a_pass()
    world.truth.advance(60)


def _on_running(name: str, act: Callable[[World, Job], None]) -> Event:
    def event(world: World) -> None:
        jobs = world.live_jobs(running=True)
        if jobs:
            job = world.random.choice(jobs)
            world.note(f"{name}: job {job.slurm_id}.{job.restart} of {job.stage}")
            act(world, job)

    return event


def _on_waiting(name: str, act: Callable[[World, Job], None]) -> Event:
    def event(world: World) -> None:
        jobs = [job for job in world.live_jobs() if not job.running]
        if jobs:
            job = world.random.choice(jobs)
            world.note(f"{name}: job {job.slurm_id}.{job.restart} of {job.stage}")
            act(world, job)

    return event


def _preempted(world: World, job: Job) -> None:
    """Each line of SLURM.md's first table, on both versions."""
    training, truth = world.training, world.truth
    if world.random.random() < 0.5:
        training.stop(job, "REQUEUED", again=True)  # from inside the job, on both
    elif world.random.random() < 0.3:
        truth.end(job, "PREEMPTED", again=world.random.random() < 0.5)  # deaf
    elif truth.old:
        completed = world.random.random() < 0.2  # it exited with 0
        training.stop(job, *(("COMPLETED", 0) if completed else ("FAILED", 75)), again=False)
    else:
        training.stop(job, "PREEMPTED", again=world.random.random() < 0.5)


def _timed_out(world: World, job: Job) -> None:
    if world.random.random() < 0.5:
        world.training.stop(job, world.random.choice(("FAILED", "REQUEUED")), again=False)
    else:
        world.truth.end(job, "TIMEOUT")


def _lost_node(world: World, job: Job) -> None:
    world.truth.end(job, "NODE_FAIL", again=world.random.random() < 0.7)


def _failed(world: World, job: Job) -> None:
    error, fault = world.random.choice(
        (("KeyError", ""), ("OSError", ""), ("NCCLError", "hardware"), ("CudaOom", "out_of_memory"))
    )
    word = "OUT_OF_MEMORY" if fault == "out_of_memory" else "FAILED"
    world.training.fail(job, word, error, fault)


def _died(world: World, job: Job) -> None:
    world.truth.end(job, world.random.choice(("FAILED", "OUT_OF_MEMORY", "DEADLINE")), 9)


def _hung(world: World, job: Job) -> None:
    world.training.processes[job.slurm_id].hangs = True


def _lost(_: World, job: Job) -> None:
    job.lost = True


def _cancelled(world: World, job: Job) -> None:
    """By the user; a job that runs saves first, and says so."""
    if job.ours or job.stage in world.training.done:
        return
    if job.running and world.random.random() < 0.5:
        process = world.training.processes[job.slurm_id]
        if not process.hangs and process.step is not None:
            world.training.save(job)
            world.training.tell(job, "exit", outcome="stopped", code=75, step=process.step)
    if job.live and job.stage not in world.training.done:
        world.cancelled[job.stage] = job.slurm_id
        world.truth.end(job, "CANCELLED", 0, by=world.uid)


def _cancelled_by_another(world: World, job: Job) -> None:
    world.truth.end(job, "CANCELLED", 0, by=UID_OF_ANOTHER)


def _held(world: World, job: Job) -> None:
    job.hold = world.random.choice(("JobHeldUser", "launch failed requeued held"))
    world.truth.note(job)


def _did_not_boot(world: World, job: Job) -> None:
    if not job.waits_for:
        job.now.started_at = world.truth.at
        world.truth.end(job, "BOOT_FAIL")


def _sbatch(world: World) -> None:
    modes = ("killed before", "killed after", "silent", "lost", "late30", "late400", "refused")
    mode = world.random.choices(modes, (3, 3, 3, 3, 2, 1, 0.3))[0]
    world.note(f"sbatch: {mode}")
    world.truth.sbatch.append(mode)


def _silence(world: World) -> None:
    truth = world.truth
    which = world.random.choice(("queue", "past", "both", "none"))
    truth.queue_silent = which in ("queue", "both")
    truth.past_silent = which in ("past", "both")
    world.note(f"silent: {which}")


def _jump(world: World) -> None:
    """The launcher's clock is put right, or passes run on two hosts."""
    world.ahead_s = world.random.choice((0.0, 0.0, -1800.0, 120.0, 3600.0))
    world.excused = True
    world.note(f"jump: the launcher's clock is {world.ahead_s} s ahead")


def _stall(world: World) -> None:
    at = world.random.choice(("live", "history", "submit", "rewire", "cancel"))
    world.note(f"stall: at {at}")
    world.stalled_pass(at)


EVENTS: dict[Event, float] = {
    _advance: 30,
    _look: 20,
    _on_running("preempted", _preempted): 14,
    _on_running("time limit", _timed_out): 5,
    _on_running("node failure", _lost_node): 4,
    _on_running("failure", _failed): 4,
    _on_running("died", _died): 1,
    _on_running("hung", _hung): 2,
    _on_running("lost", _lost): 1,
    _on_running("cancelled", _cancelled): 1,
    _on_waiting("cancelled in the queue", _cancelled): 1,
    _on_running("cancelled by another", _cancelled_by_another): 0.5,
    _on_waiting("held", _held): 1,
    _on_waiting("boot failure", _did_not_boot): 2,
    _sbatch: 8,
    _silence: 6,
    _jump: 2,
    _stall: 3,
}

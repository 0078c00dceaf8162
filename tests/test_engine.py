"""The queue and its worker: order, stopping, dying, starting again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from backend import images
from backend.engine import Engine
from backend.errors import BadRequest, DamagedModel, UnknownModel
from backend.jobs import Job
from backend.library import Library
from tests.conftest import settings_in, starter_request, wait_until


def at_step(job: Job, step: int) -> bool:
    progress = job.snapshot().progress
    return job.ended or bool(progress and progress.stage == "denoise" and progress.step >= step)


def test_a_job_goes_through_its_states_and_leaves_a_file(engine: Engine) -> None:
    job = engine.submit(starter_request())
    assert job.state in ("queued", "running")
    assert job.wait(300)
    done = job.snapshot()
    assert done.state == "done"
    assert done.started and done.ended and done.created <= done.started <= done.ended
    assert done.progress and done.progress.stage in ("decode", "save")
    path = done.images[0].path
    assert path and path.exists()
    text, request = images.read_metadata(path)
    assert text == done.images[0].infotext
    assert request == done.request


def test_previews_come_and_are_let_go(engine: Engine) -> None:
    job = engine.submit(starter_request(steps=60))
    wait_until(lambda: job.preview is not None or job.ended)
    assert job.preview and job.preview[:2] == b"\xff\xd8"
    job.wait(300)
    assert job.preview is None


def test_jobs_run_in_order_and_know_their_place(engine: Engine) -> None:
    jobs = [engine.submit(starter_request(steps=10, seed=number), save=False) for number in range(4)]
    assert engine.position(jobs[3]) >= engine.position(jobs[1]) >= 1
    for job in jobs:
        assert job.wait(300)
    ends = [job.snapshot().ended or 0 for job in jobs]
    assert ends == sorted(ends)


def test_stop_acts_within_one_step_and_keeps_what_was_done(engine: Engine) -> None:
    job = engine.submit(starter_request(steps=150, batch_count=50, seed=3), save=False)
    wait_until(lambda: at_step(job, 3))
    engine.cancel(job.id)
    seen = job.snapshot().progress
    assert seen
    assert job.wait(60)
    last = job.snapshot().progress
    assert job.state == "cancelled"
    assert last and last.image == 0 and last.step - seen.step <= 2  # the one under way, and one that was reported meanwhile
    assert job.snapshot().failed.sentence.startswith("Stopped.")  # type: ignore[union-attr]


def test_stopping_a_waiting_job_leaves_the_others_alone(engine: Engine) -> None:
    first, second, third = (engine.submit(starter_request(steps=20, seed=n), save=False) for n in range(3))
    assert engine.cancel(second.id)
    assert second.state == "cancelled"
    assert first.wait(300) and third.wait(300)
    assert (first.state, third.state) == ("done", "done")
    assert not engine.cancel(third.id)


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9")
def test_a_killed_worker_fails_its_job_and_the_next_one_runs(engine: Engine) -> None:
    doomed = engine.submit(starter_request(steps=150, batch_count=20), save=False)
    after = engine.submit(starter_request(seed=5), save=False)
    wait_until(lambda: at_step(doomed, 2))
    old = engine.worker_pid
    assert old
    os.kill(old, signal.SIGKILL)
    assert doomed.wait(60)
    failed = doomed.snapshot().failed
    assert failed and failed.error == "WorkerDied"
    assert "killed" in failed.sentence and "next ones go on" in failed.sentence
    assert after.wait(300)
    assert after.state == "done"
    assert engine.worker_pid != old


def test_the_worker_ends_with_its_server(tmp_path: Path) -> None:
    """A server that is killed outright leaves no process behind that holds the device."""
    program = (
        "import sys, time; from pathlib import Path; from backend.engine import Engine; from backend.library import Library\n"
        "from tests.conftest import settings_in, wait_until\n"
        "if __name__ == '__main__':\n"
        "    settings = settings_in(Path(sys.argv[1])); engine = Engine(settings, Library(settings.folders.models)); engine.start()\n"
        "    wait_until(lambda: engine.worker.state == 'ready'); print(engine.worker_pid, flush=True); time.sleep(600)\n"
    )
    script = tmp_path / "server.py"
    script.write_text(program)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), os.environ["PYTHONPATH"]])}
    server = subprocess.Popen([sys.executable, str(script), str(tmp_path)], stdout=subprocess.PIPE, env=environment, text=True)
    assert server.stdout
    worker = int(server.stdout.readline())
    server.kill()
    server.wait()
    wait_until(lambda: not alive(worker), 20)


def alive(process: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{process}/status").read_text()
    except FileNotFoundError:
        return False


def test_what_cannot_be_done_is_refused_at_once(engine: Engine) -> None:
    with pytest.raises(UnknownModel, match=r"no model named “nowhere”.*Models here: .*starter"):
        engine.submit(starter_request(model="nowhere"))


def test_damaged_models_are_listed_and_refused_and_the_others_work(tmp_path: Path) -> None:
    import shutil

    from backend import settings as settings_module

    starter = settings_module.ROOT / "models" / "starter"
    for name in ("cut", "no-unet", "rubbish", "whole"):
        shutil.copytree(starter, tmp_path / "models" / name)
    weights = tmp_path / "models" / "cut" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    shutil.rmtree(tmp_path / "models" / "no-unet" / "unet")
    (tmp_path / "models" / "rubbish" / "vae" / "config.json").write_text("{")
    library = Library((tmp_path / "models",))
    problems = {model.name: model.problem for model in library.models}
    assert "bytes but has" in problems["cut"]
    assert problems["no-unet"]
    assert "config.json is damaged" in problems["rubbish"]
    assert problems["whole"] == ""
    idle = Engine(settings_in(tmp_path), library)
    with pytest.raises(DamagedModel, match="cannot be used"):
        idle.submit(starter_request(model="cut"))
    assert idle.submit(starter_request(model="whole")).state == "queued"


def test_weights_that_change_after_the_scan_fail_the_job_with_the_reason(tmp_path: Path) -> None:
    """Right header, wrong insides: found only when loading."""
    import shutil

    from backend import settings as settings_module

    shutil.copytree(settings_module.ROOT / "models" / "starter", tmp_path / "models" / "twisted")
    config = tmp_path / "models" / "twisted" / "unet" / "config.json"
    config.write_text(config.read_text().replace('"layers_per_block": 1', '"layers_per_block": 2'))
    settings = settings_in(tmp_path, (tmp_path / "models",))
    engine = Engine(settings, Library(settings.folders.models))
    engine.start()
    try:
        twisted, fine = engine.submit(starter_request(model="twisted")), engine.submit(starter_request())
        assert twisted.wait(300) and fine.wait(300)
    finally:
        engine.stop()
    assert twisted.snapshot().failed.error == "DamagedModel"  # type: ignore[union-attr]
    assert fine.state == "done"


def test_a_full_queue_is_refused_with_a_sentence(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings = settings.model_copy(update={"generation": settings.generation.model_copy(update={"queue_limit": 2})})
    idle = Engine(settings, Library(settings.folders.models))
    idle.submit(starter_request())
    idle.submit(starter_request())
    with pytest.raises(BadRequest, match="queue is full"):
        idle.submit(starter_request())


def test_old_jobs_are_forgotten(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    settings = settings.model_copy(update={"generation": settings.generation.model_copy(update={"kept_jobs": 3})})
    idle = Engine(settings, Library(settings.folders.models))
    jobs = [idle.submit(starter_request()) for _ in range(6)]
    for job in jobs:
        idle.cancel(job.id)
    last = idle.submit(starter_request())
    assert [idle.job(job.id) is not None for job in jobs] == [False, False, False, True, True, True]
    assert idle.job(last.id) is last


def test_an_outputs_folder_that_cannot_be_written_keeps_the_picture(tmp_path: Path) -> None:
    (tmp_path / "outputs").write_text("a file stands where the folder should be")
    settings = settings_in(tmp_path)
    engine = Engine(settings, Library(settings.folders.models))
    engine.start()
    try:
        job = engine.submit(starter_request(batch_count=3, steps=4))
        assert job.wait(300)
    finally:
        engine.stop()
    done = job.snapshot()
    assert done.state == "failed" and done.failed and done.failed.error == "SaveFailed"
    assert "could not be saved" in done.failed.sentence and "download it here" in done.failed.sentence
    assert len(done.images) == 1
    assert done.images[0].data and done.images[0].data[:4] == b"\x89PNG"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full")
def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real ENOSPC from the system: every file opened for the picture is the device that is always full."""
    from backend.errors import SaveFailed

    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode="r", *rest, **named: opened(Path("/dev/full") if "b" in mode else path, mode, *rest, **named))
    settings = settings_in(tmp_path)
    with pytest.raises(SaveFailed, match="No space left"):
        images.save(b"x" * 100_000, starter_request(), seed=1, outputs=tmp_path / "outputs", saving=settings.saving)
    assert [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()] == []


def test_a_device_that_is_not_there_is_said_and_jobs_fail_with_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path).model_copy(update={"device": "cuda:63"})
    engine = Engine(settings, Library(settings.folders.models))
    engine.start()
    try:
        wait_until(lambda: engine.worker.state == "broken")
        assert "no device “cuda:63”" in engine.worker.sentence
        assert engine.submit(starter_request()).wait(60)
        wait_until(lambda: engine.worker.state == "broken")
        failed = next(iter(engine._jobs.values())).snapshot().failed
    finally:
        engine.stop()
    assert failed and failed.error == "WorkerDied" and "no device" in failed.sentence

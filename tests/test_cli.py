import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from wellfit.cli import run_stage
from wellfit.errors import WellfitError
from wellfit.params import Params

SHIPPED = Path(__file__).parents[1] / "params.yaml"
# A shell that runs tests in the background makes its children ignore SIGINT.
SCRIPT = """
import signal, sys, time
from pathlib import Path
from wellfit.cli import run_stage
from wellfit.errors import WellfitError

signal.signal(signal.SIGINT, signal.default_int_handler)

def main(params):
    {body}

if __name__ == "__main__":
    run_stage(main, "Does what a test wants.")
"""
WAIT = 'print("ready", flush=True); time.sleep(60)'

Stage = Callable[..., subprocess.Popen[str]]
Outcome = tuple[int, str, str]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project's root, with the shipped params.yaml, as the working directory."""
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(SHIPPED, root)
    monkeypatch.chdir(root)
    monkeypatch.delenv("DVC_STAGE", raising=False)
    return root


@pytest.fixture
def start(project: Path, tmp_path: Path) -> Iterator[Stage]:
    """Starts a stage whose main() is the given line, as a process of its own."""
    started = []

    def run(body: str, *args: str, name: str = "train") -> subprocess.Popen[str]:
        script = tmp_path / f"{name}.py"
        script.write_text(SCRIPT.format(body=body))
        process = subprocess.Popen(
            [sys.executable, str(script), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=project
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> Outcome:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def started(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.fixture
def call(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Outcome]]:
    """Runs a stage inside this process."""
    monkeypatch.setattr(sys, "argv", ["pipelines/train.py"])
    before = signal.getsignal(signal.SIGTERM)

    def run(main: Callable[[Params], None], argv: Sequence[str] = ()) -> Outcome:
        with pytest.raises(SystemExit) as stop:
            run_stage(main, "Does what a test wants.", list(argv))
        printed = capsys.readouterr()
        assert isinstance(stop.value.code, int)
        return stop.value.code, printed.out, printed.err

    yield run
    signal.signal(signal.SIGTERM, before)


def never(params: Params) -> None:
    raise AssertionError("the stage must not run")


def fails(error: Exception) -> Callable[[Params], None]:
    def main(params: Params) -> None:
        raise error

    return main


def test_a_stage_that_ends_well(start: Stage) -> None:
    slow = "{'torch', 'mlflow', 'pandas', 'optuna', 'sklearn'}"
    body = f"print(params.optim.lr, params.train.epochs, sorted({slow} & set(sys.modules)))"
    assert finish(start(body, "--set", "optim.lr=0.5", "--set", "train.epochs=7")) == (0, "0.5 7 []\n", "")


def test_a_users_mistake_is_one_line_without_a_traceback(start: Stage) -> None:
    status, out, err = finish(start('raise WellfitError("row 3 of x.csv is empty; remove it")'))
    assert (status, out, err) == (1, "", "train: row 3 of x.csv is empty; remove it\n")


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_stage_cleans_up_and_says_so(
    start: Stage, project: Path, sent: signal.Signals, status: int
) -> None:
    process = started(start(f'try: {WAIT}\n    finally: Path("cleaned").touch()'))
    process.send_signal(sent)
    assert finish(process) == (status, "", "train: interrupted\n")
    assert (project / "cleaned").exists()


def test_one_stage_at_a_time_in_one_folder(start: Stage, project: Path) -> None:
    first = started(start(WAIT))
    status, out, err = finish(start('print("ran")'))
    assert (status, out) == (1, "")
    assert err == f"train: another train is running in {project}; wait for it or stop it\n"
    assert finish(start('print("ran")', name="fetch"))[:2] == (0, "ran\n")  # another stage is no rival
    first.kill()  # a lock must not outlive its holder
    first.communicate()
    assert finish(start('print("ran")'))[:2] == (0, "ran\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_a_stage_of_dvc_ends_with_its_parent(project: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(body=f'try: {WAIT}\n    finally: Path("cleaned").touch()'))
    parent = subprocess.Popen(
        ["sh", "-c", '"$0" "$1" & wait', sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=project,
        env=os.environ | {"DVC_STAGE": "train"},
    )
    started(parent)
    parent.kill()
    parent.communicate(timeout=30)  # ends when the stage, which shares the pipe, has ended too
    assert (project / "cleaned").exists()


@pytest.mark.parametrize(
    ("argv", "rule"),
    [
        (["--set", "optim.lr=-1"], "train: optim.lr must be > 0.0, got -1 (--set)"),
        (["--set", "optim.lrr=1"], "train: optim.lrr is not a key of params.yaml; did you mean optim.lr? (--set)"),
        (["--set", "train.epochs=2"], "train: schedule.warmup_epochs must be < train.epochs, got 2 and 2"),
        (["--set", "a\nb=1"], "train: "),
    ],
)
def test_bad_params_run_and_write_nothing(
    call: Callable[..., Outcome], project: Path, argv: list[str], rule: str
) -> None:
    status, out, err = call(never, argv)
    assert (status, out) == (1, "")
    assert err.startswith(rule)
    assert err.count("\n") == 1
    assert os.listdir(project) == ["params.yaml"]


@pytest.mark.parametrize("content", ["", "data: [\n", "optim:\n  lr: 1\n  lr: 2\n"])
def test_a_bad_file_runs_and_writes_nothing(call: Callable[..., Outcome], project: Path, content: str) -> None:
    (project / "params.yaml").write_text(content)
    status, _, err = call(never)
    assert status == 1
    assert err.startswith("train: params.yaml ")
    assert err.count("\n") == 1
    assert os.listdir(project) == ["params.yaml"]


def test_no_params_file(call: Callable[..., Outcome], project: Path) -> None:
    (project / "params.yaml").unlink()
    status, _, err = call(never)
    assert status == 1
    assert err == f"train: params.yaml not found in {project}: run this from the project's root\n"
    assert os.listdir(project) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.npy"), "'x.npy'"),
        (OSError(28, "No space left on device", "models/best.safetensors"), "No space left"),
        (ValueError("first line\nsecond line"), "first line"),  # not foreseen: still one line
        (RuntimeError("out of memory"), "out of memory"),
    ],
    ids=["missing", "full", "unforeseen", "torch"],
)
def test_any_error_is_one_line(call: Callable[..., Outcome], error: Exception, words: str) -> None:
    status, out, err = call(fails(error))
    assert (status, out) == (1, "")
    assert err.startswith("train: ")
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("error", [WellfitError("the rule"), OSError(28, "the rule"), ValueError("the rule")])
def test_debug_shows_the_traceback_and_then_the_line(call: Callable[..., Outcome], error: Exception) -> None:
    status, _, err = call(fails(error), ["--debug"])
    assert status == 1
    assert err.startswith("Traceback (most recent call last):")
    assert "in main" in err
    assert err.splitlines()[-1].startswith("train: ")
    assert "the rule" in err.splitlines()[-1]


@pytest.mark.parametrize("argv", [["--sett", "x"], ["--set"], ["x"]])
def test_a_wrong_option_is_refused(call: Callable[..., Outcome], argv: list[str]) -> None:
    status, _, err = call(never, argv)
    assert status == 2
    assert "Traceback" not in err


def write_pipeline(project: Path, **params: list[Any]) -> None:
    text = "stages:\n" + "".join(f"  {stage}:\n    params: {keys}\n" for stage, keys in params.items())
    (project / "dvc.yaml").write_text(text)


def test_help_shows_what_the_stage_reads(call: Callable[..., Outcome], project: Path) -> None:
    write_pipeline(project, train=["optim", "train.epochs", "data.name"], evaluate=["evaluate"])
    status, out, err = call(never, ["--help"])
    assert (status, err) == (0, "")
    assert "python pipelines/train.py" in out
    assert "Does what a test wants." in out
    assert "--set KEY=VALUE" in out
    shown = out.split("what it reads in params.yaml", 1)[1]
    blocks = SHIPPED.read_text(encoding="utf-8").split("\n\n")
    for block in blocks[1:]:
        section = block.split(":")[0]
        assert (block.strip() in shown) == (section in ("optim", "train", "data")), section


@pytest.mark.parametrize(
    "pipeline",
    [None, "", "stages:\n", "stages: {train: {cmd: x}}\n", "stages: [\n", "- 1\n"],
    ids=["none", "empty", "no stages", "no params", "not yaml", "a list"],
)
def test_help_does_without_a_pipeline(call: Callable[..., Outcome], project: Path, pipeline: str | None) -> None:
    if pipeline is not None:
        (project / "dvc.yaml").write_text(pipeline)
    status, out, _ = call(never, ["--help"])
    assert status == 0
    assert "--set KEY=VALUE" in out
    assert not (project / ".wellfit").exists()


def test_a_params_file_that_is_not_utf_8_is_one_line_also_where_there_is_a_pipeline(
    call: Callable[..., Outcome], project: Path
) -> None:
    write_pipeline(project, train=["optim"])
    (project / "params.yaml").write_bytes(b"# \xe9t\xe9\n" + SHIPPED.read_bytes())
    status, _, err = call(never)
    assert status == 1
    assert err.startswith("train: params.yaml cannot be read")
    assert err.count("\n") == 1


def test_stages_leave_nothing_but_the_lock(call: Callable[..., Outcome], project: Path) -> None:
    begun = time.time()
    assert call(lambda params: None) == (0, "", "")
    written = [path for path in project.rglob("*") if path.is_file() and path.stat().st_mtime >= begun - 1]
    assert {path.relative_to(project).as_posix() for path in written} <= {"params.yaml", ".wellfit/locks/train.lock"}

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import pytest

from wellfit.commands.cli import SHORT_NAMES, of_file, of_params
from wellfit.commands.cli import call as call_command
from wellfit.commands.process import only_one
from wellfit.errors import RowsChangedError, WellfitError
from wellfit.settings.params import Params, load_params
from wellfit.torchrun import ELASTIC

SHIPPED = Path(__file__).parents[2] / "params.yaml"
# A shell that runs tests in the background makes its children ignore SIGINT.
SCRIPT = """
import signal, sys, time
from pathlib import Path
from wellfit.commands.cli import call, of_params
from wellfit.commands.process import leave
from wellfit.errors import WellfitError

signal.signal(signal.SIGINT, signal.default_int_handler)

def main(params):
    {body}

if __name__ == "__main__":
    program = "python pipelines/" + Path(__file__).name
    leave(lambda: call(of_params(main), "Does what a test wants.", sys.argv[1:], program))
"""
WAIT = 'print("ready", flush=True); time.sleep(60)'

Stage = Callable[..., subprocess.Popen[str]]
Outcome = tuple[int, str, str]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project's root, with the shipped params.yaml, as the working directory."""
    root = tmp_path / "project"
    root.mkdir()
    shutil.copy(SHIPPED, root)
    monkeypatch.chdir(root)
    return root


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Iterator[Stage]:
    """Starts a stage whose main() is the given line, as a process of its own."""
    started = []

    def run(body: str, *args: str, name: str = "train") -> subprocess.Popen[str]:
        script = tmp_path / f"{name}.py"
        script.write_text(SCRIPT.format(body=body))
        process = subprocess.Popen(
            [sys.executable, str(script), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root
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
def call(root: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Outcome]]:
    """Runs a stage inside this process, which reads ``params.yaml`` or one of the named files."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    titles = {"a": "First", "bbb": "Second"}

    def run(
        main: Callable[[Any], None],
        argv: Sequence[str] = (),
        *,
        is_named: bool = False,
        default: str | None = None,
        by_torchrun: bool = False,
    ) -> Outcome:
        named = is_named and of_file(main, load_named, lambda: titles, default)
        command = named or of_params(main, by_torchrun=by_torchrun)
        try:
            status = call_command(command, "Does what a test wants.", argv, "python pipelines/train.py")
        except SystemExit as stop:  # argparse, on --help or a wrong option
            status = int(stop.code or 0)
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


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
    start: Stage, root: Path, sent: signal.Signals, status: int
) -> None:
    process = started(start(f'try: {WAIT}\n    finally: Path("cleaned").touch()'))
    process.send_signal(sent)
    assert finish(process) == (status, "", "train: interrupted\n")
    assert (root / "cleaned").exists()


@pytest.mark.parametrize(("sent", "status"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_an_interruption_that_became_another_error_is_one_still(start: Stage, sent: str, status: int) -> None:
    process = start(f"try: signal.raise_signal(signal.{sent})\n    finally: raise ValueError")
    assert finish(process) == (status, "", "train: interrupted\n")


def test_one_stage_at_a_time_in_one_folder(start: Stage, root: Path) -> None:
    first = started(start(WAIT))
    status, out, err = finish(start('print("ran")'))
    assert (status, out) == (1, "")
    assert err == f"train: another train is running in {root}; wait for it or stop it\n"
    assert finish(start('print("ran")', name="fetch"))[:2] == (0, "ran\n")  # another stage is no rival
    first.kill()  # a lock must not outlive its holder
    first.communicate()
    assert finish(start('print("ran")'))[:2] == (0, "ran\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
@pytest.mark.parametrize("variable", ["DVC_STAGE", "MLFLOW_RUN_ID", ELASTIC])
def test_a_stage_of_another_program_ends_with_its_parent(root: Path, tmp_path: Path, variable: str) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(body=f'try: {WAIT}\n    finally: Path("cleaned").touch()'))
    parent = subprocess.Popen(
        ["sh", "-c", '"$0" "$1" & wait', sys.executable, str(script)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=root,
        env=os.environ | {variable: "x"},
    )
    started(parent)
    parent.kill()
    parent.communicate(timeout=30)  # ends when the stage, which shares the pipe, has ended too
    assert (root / "cleaned").exists()


@pytest.mark.parametrize(
    ("argv", "rule"),
    [
        (["--set", "optim.lr=-1"], "train: optim.lr must be > 0.0, got -1 (--set)"),
        (["--set", "optim.lrr=1"], "train: optim.lrr is not a key of params.yaml; did you mean optim.lr? (--set)"),
        (["--set", "train.epochs=2"], "train: schedule.warmup_epochs must be < train.epochs, got 2 and 2"),
        (["--set", "a\nb=1"], "train: "),
    ],
)
def test_bad_params_run_and_write_nothing(call: Callable[..., Outcome], root: Path, argv: list[str], rule: str) -> None:
    status, out, err = call(never, argv)
    assert (status, out) == (1, "")
    assert err.startswith(rule)
    assert err.count("\n") == 1
    assert os.listdir(root) == ["params.yaml"]


@pytest.mark.parametrize("content", ["", "data: [\n", "optim:\n  lr: 1\n  lr: 2\n"])
def test_a_bad_file_runs_and_writes_nothing(call: Callable[..., Outcome], root: Path, content: str) -> None:
    (root / "params.yaml").write_text(content)
    status, _, err = call(never)
    assert status == 1
    assert err.startswith("train: params.yaml ")
    assert err.count("\n") == 1
    assert os.listdir(root) == ["params.yaml"]


def test_no_params_file(call: Callable[..., Outcome], root: Path) -> None:
    (root / "params.yaml").unlink()
    status, _, err = call(never)
    assert status == 1
    assert err == f"train: params.yaml not found in {root}: run this from the project's root\n"
    assert os.listdir(root) == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "x.npy"), "'x.npy'"),
        (OSError(28, "No space left on device", "models/best.safetensors"), "no space is left where models/best"),
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
    assert ("unexpected" in err) == (not isinstance(error, OSError))


@pytest.fixture
def _second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun starts it."""
    monkeypatch.setattr("wellfit.commands.process.end_with_parent", lambda: None)
    for name, value in {ELASTIC: "none", "RANK": "1", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


@pytest.mark.usefixtures("_second_of_two")
def test_one_process_of_several_has_the_lock_and_speaks(call: Callable[..., Outcome]) -> None:
    did = []

    def main(params: Params) -> None:
        did.append(params)
        print("said")

    with only_one("train"):
        assert call(main, by_torchrun=True) == (0, "", "")
    assert len(did) == 1


@pytest.mark.usefixtures("_second_of_two")
def test_torchrun_is_for_what_several_processes_can_do(call: Callable[..., Outcome]) -> None:
    assert call(never) == (1, "", "train (rank 1): torchrun is for train: start train without it\n")


def test_an_error_may_have_a_status_of_its_own(call: Callable[..., Outcome]) -> None:
    assert call(fails(RowsChangedError("they moved"))) == (3, "", "train: they moved\n")
    answer = HTTPError("http://127.0.0.1", 404, "Not Found", Message(), None)  # its `status` is no exit status
    assert call(fails(answer))[0] == 1


@pytest.mark.parametrize("error", [WellfitError("the rule"), OSError(13, "the rule"), ValueError("the rule")])
def test_debug_shows_the_traceback_and_then_the_line(call: Callable[..., Outcome], error: Exception) -> None:
    status, _, err = call(fails(error), ["--debug"])
    assert status == 1
    assert err.startswith("Traceback (most recent call last):")
    assert "in main" in err
    assert err.splitlines()[-1].startswith("train: ")
    assert "the rule" in err.splitlines()[-1]


def params_of(call: Callable[..., Outcome], *argv: str) -> Params:
    got: list[Params] = []
    assert call(got.append, argv) == (0, "", "")
    return got[0]


OPTIONS = {
    "dataset": "data.name=mnist",
    "model": "model.name=cnn",
    "dropout": "model.dropout=0.25",
    "optimizer": "optim.name=sgd",
    "lr": "optim.lr=0.25",
    "weight_decay": "optim.weight_decay=0.25",
    "scheduler": "schedule.name=step",
    "epochs": "train.epochs=17",
    "batch_size": "train.batch_size=17",
    "seed": "train.seed=17",
    "tune": "tune.enabled=false",
    "n_trials": "tune.n_trials=17",
}


def test_every_short_name_is_tried_below() -> None:
    assert set(SHORT_NAMES) == set(OPTIONS)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_short_name_sets_its_key(call: Callable[..., Outcome], name: str) -> None:
    changed = params_of(call, f"--{name}", OPTIONS[name].split("=")[1])
    assert changed == load_params(SHIPPED, [OPTIONS[name]])
    assert changed != load_params(SHIPPED)


@pytest.mark.parametrize(
    "argv",
    [
        ["--optim.lr", "0.25", "--schedule.warmup_epochs=1"],
        ["--optim.lr=0.25", "--schedule.warmup_epochs", "1"],
        ["--schedule.warmup_epochs=1", "--lr=0.25"],
        ["--set", "schedule.warmup_epochs=1", "--set=optim.lr=0.25", "--model.hidden="],
        ["--lr", "0.25", "--schedule.warmup_epochs", "1", "--epochs", "", "--optim.momentum", ""],
    ],
)
def test_any_key_may_be_an_option_and_an_empty_one_is_as_in_the_file(
    call: Callable[..., Outcome], argv: list[str]
) -> None:
    assert params_of(call, *argv) == load_params(SHIPPED, ["optim.lr=0.25", "schedule.warmup_epochs=1"])


@pytest.mark.parametrize("argv", [["--lr", "-1"], ["--optim.lr", "-1"], ["--optim.lr=-1"]])
def test_a_bad_value_of_an_option_names_the_key(call: Callable[..., Outcome], argv: list[str]) -> None:
    assert call(never, argv) == (1, "", "train: optim.lr must be > 0.0, got -1 (--set)\n")


def test_an_option_that_is_no_key_is_told_what_was_meant(call: Callable[..., Outcome]) -> None:
    status, _, err = call(never, ["--optim.lrr", "1"])
    assert (status, err) == (1, "train: optim.lrr is not a key of params.yaml; did you mean optim.lr? (--set)\n")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--lerning", "1"], "unrecognized arguments: --lerning 1; --help lists the options"),
        (["--l", "3"], "unrecognized arguments: --l 3; did you mean --lr?"),
        (["--epoch=3"], "unrecognized arguments: --epoch=3; did you mean --epochs?"),
        (["--lr"], "argument --lr: expected one argument; --help"),
    ],
)
def test_a_wrong_option_is_one_line_with_a_hint(call: Callable[..., Outcome], argv: list[str], said: str) -> None:
    status, out, err = call(never, argv)
    assert (status, out) == (2, "")
    assert err.startswith(f"train: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("argv", [["--sett", "x"], ["--set"], ["x"], ["--optim.lr"]])
def test_a_wrong_option_is_refused(call: Callable[..., Outcome], argv: list[str]) -> None:
    status, _, err = call(never, argv)
    assert status == 2
    assert "Traceback" not in err
    assert argv[0] in err


def write_pipeline(root: Path, **params: list[Any]) -> None:
    text = "stages:\n" + "".join(f"  {stage}:\n    params: {keys}\n" for stage, keys in params.items())
    (root / "dvc.yaml").write_text(text)


def test_help_shows_what_the_stage_reads(call: Callable[..., Outcome], root: Path) -> None:
    write_pipeline(root, train=["optim", "train.epochs", "data.name"], evaluate=["evaluate"])
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
def test_help_does_without_a_pipeline(call: Callable[..., Outcome], root: Path, pipeline: str | None) -> None:
    if pipeline is not None:
        (root / "dvc.yaml").write_text(pipeline)
    status, out, _ = call(never, ["--help"])
    assert status == 0
    assert "--set KEY=VALUE" in out
    assert not (root / ".wellfit").exists()


def test_a_params_file_that_is_not_utf_8_is_one_line_also_where_there_is_a_pipeline(
    call: Callable[..., Outcome], root: Path
) -> None:
    write_pipeline(root, train=["optim"])
    (root / "params.yaml").write_bytes(b"# \xe9t\xe9\n" + SHIPPED.read_bytes())
    status, _, err = call(never)
    assert status == 1
    assert err.startswith("train: params.yaml cannot be read")
    assert err.count("\n") == 1


def test_stages_leave_nothing_but_the_lock(call: Callable[..., Outcome], root: Path) -> None:
    begun = time.time()
    assert call(lambda params: None) == (0, "", "")
    written = [path for path in root.rglob("*") if path.is_file() and path.stat().st_mtime >= begun - 1]
    assert {path.relative_to(root).as_posix() for path in written} <= {"params.yaml", ".wellfit/locks/train.lock"}


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_what_ends_in_order_is_not_cut_short_by_a_second_signal(start: Stage, first: signal.Signals) -> None:
    body = f"""try:
        {WAIT}
    finally:
        print("ending", flush=True)
        time.sleep(1)
        print("ended", flush=True)"""
    process = started(start(body))
    process.send_signal(first)
    assert process.stdout is not None
    assert process.stdout.readline() == "ending\n"
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == "ended\n"
    status, _, err = finish(process)
    assert (status, err) == (130 if first == signal.SIGINT else 143, "train: interrupted\n")


# Scripts that read one of several files


def load_named(name: str, overrides: Sequence[str]) -> tuple[str, list[str]]:
    if name == "bad":
        raise WellfitError("bad.yaml is empty")
    return name, list(overrides)


@pytest.mark.parametrize("argv", [["--name", "a", "--lr", "0.1"], ["--optim.lr", "0.1", "--name=a"]])
def test_a_named_file_is_read_instead_of_params_yaml(call: Callable[..., Outcome], root: Path, argv: list[str]) -> None:
    (root / "params.yaml").unlink()
    got: list[tuple[str, list[str]]] = []
    assert call(got.append, argv, is_named=True) == (0, "", "")
    assert got == [("a", ["optim.lr=0.1"])]
    assert [path.name for path in (root / ".wellfit" / "locks").iterdir()] == ["train-a.lock"]


def test_a_name_may_be_left_out_where_one_is_meant(call: Callable[..., Outcome]) -> None:
    got: list[tuple[str, list[str]]] = []
    assert call(got.append, ["--lr", "0.1"], is_named=True, default="a") == (0, "", "")
    assert got == [("a", ["optim.lr=0.1"])]


def test_help_lists_the_named_files(call: Callable[..., Outcome]) -> None:
    status, out, _ = call(never, ["--help"], is_named=True)
    assert status == 0
    assert "what NAME can be:\n\n  a    First\n  bbb  Second\n" in out


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        ([], 2, "train: the following arguments are required: --name; --help lists the options"),
        (["--name", "bad"], 1, "train: bad.yaml is empty\n"),
    ],
)
def test_a_name_that_cannot_be_read_is_one_line(
    call: Callable[..., Outcome], root: Path, argv: list[str], status: int, said: str
) -> None:
    done = call(never, argv, is_named=True)
    assert (done[0], done[1]) == (status, "")
    assert done[2].startswith(said)
    assert done[2].count("\n") == 1
    assert os.listdir(root) == ["params.yaml"]


def test_two_names_do_not_stand_in_each_others_way(call: Callable[..., Outcome], root: Path) -> None:
    inner: list[Outcome] = []
    outcome = call(
        lambda _: inner.append(call(print, ["--name", "bbb"], is_named=True)), ["--name", "a"], is_named=True
    )
    assert outcome[0] == inner[0][0] == 0
    outcome = call(lambda _: inner.append(call(never, ["--name", "a"], is_named=True)), ["--name", "a"], is_named=True)
    assert inner[1][0] == 1
    assert "another train a is running" in inner[1][2]

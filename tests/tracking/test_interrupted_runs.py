"""A run is never left RUNNING, whenever the interruption comes. The signals are real ones."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient

from wellfit import interruptions, tracking
from wellfit.data.meta import Meta
from wellfit.tracking import opening
from wellfit.tracking import run as run_module
from wellfit.tracking.ended import EndedRun, fill_ended_run
from wellfit.tracking.runs import OPEN

pytestmark = pytest.mark.usefixtures("ctrl_c")


def then_interrupt(method: Callable[..., Any], times: int = 1) -> Callable[..., Any]:
    """What the method does, and then Ctrl-C, as often as said."""
    left = [times]

    def call(*args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        if left[0]:
            left[0] -= 1
            signal.raise_signal(signal.SIGINT)
        return result

    return call


def statuses(client: MlflowClient) -> list[str]:
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return [run.info.status for run in client.search_runs(experiments)]


@pytest.mark.parametrize("method", ["create_run", "get_run", "log_inputs", "set_tag", "log_batch"])
def test_an_interruption_in_a_call_to_the_store_kills_the_run(
    client: MlflowClient, meta: Meta, project: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    bodies = []

    def body() -> None:
        with tracking.start_run("train", "a run", meta) as run:
            bodies.append(run)
            run.log_metrics({"val/loss": 1.0})
            run.tag("a", "b")

    monkeypatch.setattr(client, method, then_interrupt(getattr(client, method)))
    with pytest.raises(KeyboardInterrupt):
        body()
    # At the end of the body all is said and done: the run is what it was.
    assert statuses(client) == ["FINISHED" if method == "log_batch" else "KILLED"]
    assert bool(bodies) == (method in ("set_tag", "log_batch"))
    assert not list(project.rglob(OPEN))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_so_does_an_error_that_was_made_of_one(client: MlflowClient, meta: Meta) -> None:
    def body() -> None:
        with tracking.start_run("train", "a run", meta):
            try:
                signal.raise_signal(signal.SIGINT)
                interruptions.check()
            finally:
                raise ValueError("cut short")

    with pytest.raises(ValueError, match="cut short"):
        body()
    assert statuses(client) == ["KILLED"]


@pytest.mark.parametrize("what", ["tag", "has_children"])
def test_a_call_to_the_store_is_not_cut_in_half(
    client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    ended = []

    def interrupted_first(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            signal.raise_signal(signal.SIGINT)
            ended.append(method(*args, **kwargs))
            return ended[-1]

        return call

    def body() -> None:
        with tracking.start_run("train", "a run", meta) as run, monkeypatch.context() as patch:
            for name in ("set_tag", "search_runs"):
                patch.setattr(client, name, interrupted_first(getattr(client, name)))
            run.tag("a", "b") if what == "tag" else tracking.has_children(run.id)

    with pytest.raises(KeyboardInterrupt):
        body()
    assert len(ended) == 1
    assert statuses(client) == ["KILLED"]


@pytest.mark.parametrize("what", ["tag", "log_params", "log_epoch", "fill_ended_run"])
def test_each_write_is_a_safe_point(client: MlflowClient, meta: Meta, what: str) -> None:
    written = []

    def body() -> None:
        with tracking.start_run("train", "a run", meta) as run:
            signal.raise_signal(signal.SIGINT)
            match what:
                case "tag":
                    run.tag("a", "b")
                case "log_params":
                    run.log_params({"optim.lr": 0.1})
                case "log_epoch":
                    run.log_epoch(1, {"val/loss": 1.0})
                case "fill_ended_run":
                    fill_ended_run(
                        client, run.id, EndedRun("trial", "trial", "FINISHED", 1.0, 2.0, {}, {}, {}, [], 0, [])
                    )
            written.append(what)

    with pytest.raises(KeyboardInterrupt):
        body()
    assert not written
    assert set(statuses(client)) <= {"KILLED", "FINISHED"}


def test_the_run_of_a_pipeline_as_well(client: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "create_run", then_interrupt(client.create_run))
    with pytest.raises(KeyboardInterrupt):
        tracking.start_parent_run("pipeline", "moons").__enter__()
    assert statuses(client) == ["KILLED"]


def test_a_second_interruption_while_runs_are_being_closed(
    client: MlflowClient, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    def body() -> None:
        with (
            tracking.start_run("tune", "study", meta),
            tracking.start_run("trial", "trial", meta) as trial,
        ):
            trial.log_metrics({"val/loss": 1.0})
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(client, "log_batch", then_interrupt(client.log_batch))
    with pytest.raises(KeyboardInterrupt):
        body()
    assert statuses(client) == ["KILLED"] * 2


class Store:
    """As much of an MLflow client as a run needs, in memory."""

    def __init__(self) -> None:
        self.status: dict[str, str] = {}

    def create_run(self, *args: Any, **kwargs: Any) -> Any:
        self.status["a" * 32] = "RUNNING"
        return SimpleNamespace(info=SimpleNamespace(run_id="a" * 32))

    def get_run(self, run_id: str) -> Any:
        return SimpleNamespace(info=SimpleNamespace(artifact_uri="file:/a"))

    def set_terminated(self, run_id: str, status: str, ended: int) -> None:
        self.status[run_id] = status

    def get_experiment_by_name(self, name: str) -> Any:
        return SimpleNamespace(experiment_id="1", tags=tracking.runs_view(), lifecycle_stage="active")

    def set_tag(self, *args: Any) -> None: ...
    def log_inputs(self, *args: Any, **kwargs: Any) -> None: ...
    def log_batch(self, *args: Any, **kwargs: Any) -> None: ...


def test_an_interruption_before_any_instruction_leaves_no_run_open(
    tmp_path: Path, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(tracking.PARENT_RUN_VARIABLE, raising=False)
    store = Store()
    monkeypatch.setattr(opening, "open_client", lambda: store)
    files = {opening.__file__, run_module.__file__, interruptions.__file__}
    instructions = 0

    def body() -> None:
        with tracking.start_run("train", "a run", meta) as run:
            run.log_metrics({"val/loss": 1.0})
            run.tag("a", "b")

    def trace_until(last: int) -> Callable[[FrameType, str, Any], Any]:
        def trace(frame: FrameType, event: str, argument: Any) -> Any:
            nonlocal instructions
            if frame.f_code.co_filename not in files:
                return None
            frame.f_trace_opcodes = True
            if event == "opcode":
                instructions += 1
                if instructions == last:
                    signal.raise_signal(signal.SIGINT)
            return trace

        return trace

    def interrupted_at(number: int) -> bool:
        nonlocal instructions
        instructions = 0
        store.status.clear()
        before = sys.gettrace()
        sys.settrace(trace_until(number))
        try:
            body()
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(before)
            interruptions._depth, interruptions._pending = 0, None
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return False

    body()  # imports what it needs
    assert not interrupted_at(0)
    total = instructions
    assert total > 300
    raised = 0
    for number in range(1, total + 1):
        raised += interrupted_at(number)
        assert set(store.status.values()) <= {"KILLED", "FINISHED"}, f"instruction {number} of {total}"
        assert not list(tmp_path.rglob(OPEN)), f"instruction {number} of {total}"
    assert raised > 0.9 * total  # at the few others Python looks for no signal, and none is lost either: it waits

"""How fast the served model answers, beside the loaded one and its bare networks, and whether it stands a load.

The model of the last `dvc repro` is served by `mlflow models serve` on this machine. Its input example, repeated, is
asked for one row at a time and in batches, then by many clients at once. Each line of the first table does all that
the line above does and more, so that the differences say where the time goes; the lines are measured in turns.

    dvc repro
    python benchmarks/serve.py
    python benchmarks/serve.py --clients 2 --seconds 10
"""

import argparse
import base64
import http.client
import json
import logging
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import torch
from mlflow.pyfunc import PyFuncModel, load_model

import wellfit
from wellfit import tracking
from wellfit.files import read_json
from wellfit.settings.params import load_params

ROOT = Path(__file__).parents[1]
BATCH = 1000  # rows
ROUNDS = 10  # in each, all steps take their turn
ONES, BATCHES, WARM_UP = 20, 2, 2  # requests of a step in a round
START_SECONDS = 120
SETTLED = 10.0  # seconds of load, after which memory is not to grow
GROWTH = 0.05  # of memory, at most


class Load(NamedTuple):
    """What came of many clients at once: seconds of each answer, lines about errors, MB at the begin and at the end."""

    seconds: list[float]
    errors: list[str]
    settled: float
    ended: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["MLFLOW_TRACKING_URI"] = tracking.store_uri()
    model_id = tracking.logged_model(read_json(ROOT / "models" / "run.json")["run_id"])
    loaded = load_model(f"models:/{model_id}")
    example = loaded.input_example
    assert example is not None
    # Not by concat, which leaves text in as many pieces as it was given.
    one, batch = example.head(1), example.iloc[[i % len(example) for i in range(BATCH)]].reset_index(drop=True)

    folder = ROOT / "models" / load_params(ROOT / "params.yaml").data.name
    logging.getLogger("wellfit").disabled = True  # rows that repeat are not as the training rows were
    with server(str(model_id)) as (session, port):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        steps = {f"{name}, in this process": step for name, step in in_process(folder, loaded).items()}
        steps["mlflow models serve"] = lambda rows: ask(connection, body(rows))
        print_steps(measure(steps, one, batch))
        load = under_load(session, port, body(one), arguments.clients, arguments.seconds)
    print_load(load, arguments.clients, arguments.seconds)
    if load.errors or load.ended > load.settled * (1 + GROWTH):
        sys.exit(1)


def in_process(folder: Path, loaded: PyFuncModel) -> dict[str, Callable[[pd.DataFrame], object]]:
    """What predicts without a server, the least first."""
    model = wellfit.load(folder)
    encoded: dict[int, torch.Tensor] = {}

    def rows_of(rows: pd.DataFrame) -> object:
        return [base64.b64decode(cell) for cell in rows["image"]] if model.meta.kind == "images" else rows

    def networks(rows: pd.DataFrame) -> object:
        if len(rows) not in encoded:  # in the warm-up
            encoded[len(rows)] = torch.from_numpy(model.encode(rows_of(rows)))
        return model.model.outputs(encoded[len(rows)].numpy())

    return {
        "networks, of encoded rows": networks,
        "wellfit.load(...).predict": lambda rows: model.predict(rows_of(rows)),
        "mlflow.pyfunc.load_model(...).predict": loaded.predict,
    }


def measure(
    steps: dict[str, Callable[[pd.DataFrame], object]], one: pd.DataFrame, batch: pd.DataFrame
) -> dict[str, tuple[float, ...]]:
    """Of each step: milliseconds of one row, median and 95th percentile, and rows per second in batches."""
    singles: dict[str, list[float]] = {name: [] for name in steps}
    batches: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            singles[name] += timed(step, one, ONES)
            batches[name] += timed(step, batch, BATCHES)
    at = int(0.95 * ROUNDS * ONES)
    return {
        name: (1e3 * statistics.median(took), 1e3 * sorted(took)[at], BATCH / statistics.median(batches[name]))
        for name, took in singles.items()
    }


def timed(step: Callable[[pd.DataFrame], object], rows: pd.DataFrame, times: int) -> list[float]:
    """Seconds of each of several calls, after some that do not count."""
    seconds = []
    for _ in range(WARM_UP + times):
        started = time.perf_counter()
        step(rows)
        seconds.append(time.perf_counter() - started)
    return seconds[WARM_UP:]


@contextmanager
def server(model_id: str) -> Iterator[tuple[int, int]]:
    """A server of the model that answers: its session and its port. It is ended with all of its processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    command = ["mlflow", "models", "serve", "-m", f"models:/{model_id}", "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    log = ROOT / ".wellfit" / "serve.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the server does not answer: {log.read_text()[-1000:]}")
            time.sleep(0.2)
        yield process.pid, port
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # the group is its own, by start_new_session
        process.wait()


def answers(port: int) -> bool:
    """Whether the server is ready."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def body(rows: pd.DataFrame) -> bytes:
    """Rows as the server takes them."""
    return json.dumps({"dataframe_split": json.loads(rows.to_json(orient="split", index=False))}).encode()


def ask(connection: http.client.HTTPConnection, sent: bytes) -> bytes:
    """The answer of the server.

    Raises:
        RuntimeError: its status is not 200.
    """
    connection.request("POST", "/invocations", sent, {"Content-Type": "application/json"})
    response = connection.getresponse()
    said = response.read()
    if response.status != 200:
        raise RuntimeError(f"status {response.status}: {said[:200]!r}")
    return said


def under_load(session: int, port: int, sent: bytes, clients: int, seconds: float) -> Load:
    """Clients that ask for one row after the other, all at once."""
    ends = time.monotonic() + seconds

    def client() -> tuple[list[float], list[str]]:
        connection, took, errors = http.client.HTTPConnection("127.0.0.1", port), [], []
        while time.monotonic() < ends:
            started = time.perf_counter()
            try:
                ask(connection, sent)
                took.append(time.perf_counter() - started)
            except (OSError, http.client.HTTPException, RuntimeError) as error:
                errors.append(f"{type(error).__name__}: {error}")
                connection.close()
        return took, errors

    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client) for _ in range(clients)]
        time.sleep(min(SETTLED, seconds / 2))
        settled = memory(session)
        found = [each.result() for each in running]
    ended = memory(session)
    seconds_taken = [each for took, _ in found for each in took]
    return Load(seconds_taken, [each for _, errors in found for each in errors], settled, ended)


def memory(session: int) -> float:
    """MB in use by the processes of a session, as Linux tells them."""
    pages = 0
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has just ended
            _, _, after_name = (folder / "stat").read_text().rpartition(")")
            if int(after_name.split()[3]) == session:
                pages += int((folder / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def print_steps(steps: dict[str, tuple[float, ...]]) -> None:
    width = max(map(len, steps))
    print(f"{'':{width}}  one row: median ms  95 % ms  batches of {BATCH}: rows/s")
    for name, (median, p95, per_second) in steps.items():
        print(f"{name:{width}}  {median:18.2f}  {p95:7.2f}  {per_second:24,.0f}")
    names, times = list(steps), [median for median, _, _ in steps.values()]
    added = {name: later - earlier for name, earlier, later in zip(names, [0.0, *times], times, strict=False)}
    most = max(added, key=lambda name: added[name])
    print(f"most of the {times[-1]:.1f} ms of one row are added by: {most} ({added[most]:.1f} ms)")


def print_load(load: Load, clients: int, seconds: float) -> None:
    took = sorted(load.seconds)
    print(
        f"{clients} clients for {seconds:g} s: {len(took)} answers, {len(took) / seconds:.0f} per second, "
        f"median {1e3 * statistics.median(took):.1f} ms, 95 % {1e3 * took[int(0.95 * len(took))]:.1f} ms"
    )
    print(f"errors: {len(load.errors)}{''.join(f'; {line}' for line in sorted(set(load.errors))[:3])}")

    at = min(SETTLED, seconds / 2)
    print(f"memory of the server: {load.settled:.0f} MB after {at:g} s, {load.ended:.0f} MB at the end")


if __name__ == "__main__":
    main()

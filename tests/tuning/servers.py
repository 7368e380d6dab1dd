"""Real servers on loopback: PostgreSQL, and Optuna's gRPC proxy before it."""

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PASSWORD = "open sesame"
PROXY = """
import sys
from optuna.storages import get_storage, run_grpc_proxy_server, RDBStorage
storage = get_storage(RDBStorage(sys.argv[1], engine_kwargs={"pool_pre_ping": True}))
run_grpc_proxy_server(storage, host="127.0.0.1", port=int(sys.argv[2]))
"""


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Postgres:
    """A PostgreSQL server in a folder of its own."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries, self._folder, self.port = binaries, folder, free_port()
        self._user = "nobody" if os.getuid() == 0 else None  # it refuses to run as root
        if self._user:
            os.chown(folder, pwd.getpwnam(self._user).pw_uid, -1)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        self._call("initdb", "-D", f"{folder}/data", "-U", "me", "-A", "scram-sha-256", f"--pwfile={secret}", "-N")
        self.start()

    def url(self, database: str = "postgres", password: str = PASSWORD) -> str:
        secret = f":{password.replace(' ', '%20')}" if password else ""
        return f"postgresql://me{secret}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._call("pg_ctl", "-D", f"{self._folder}/data", "-l", f"{self._folder}/log", "-w", "-o", options, "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-D", f"{self._folder}/data", "-w", "-m", "immediate", "stop")

    def _call(self, program: str, *arguments: str) -> None:
        prefix = ["runuser", "-u", self._user, "--"] if self._user else []
        command = [*prefix, str(self._binaries / program), *arguments]
        done = subprocess.run(command, cwd=self._folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Skips where PostgreSQL or its driver is missing."""
    pytest.importorskip("psycopg")
    found = [Path(shutil.which("initdb") or "-").parent, *Path("/usr/lib/postgresql").glob("*/bin")]
    binaries = next((each for each in found if (each / "initdb").exists()), None)
    if binaries is None or (os.getuid() == 0 and not shutil.which("runuser")):
        pytest.skip("PostgreSQL's programs are not here")
    # Not in pytest's folder, which another user may not enter.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        server = Postgres(binaries, folder)
        try:
            yield server
        finally:
            with suppress(AssertionError):
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def grpc_proxy(url: str, started: list[subprocess.Popen[bytes]] | None = None) -> Iterator[str]:
    """Optuna's proxy of a database; gives the value of ``tune.storage``, and puts its process into a list."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", PROXY, url, str(port)], stderr=subprocess.DEVNULL)
    if started is not None:
        started.append(process)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield f"grpc://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()

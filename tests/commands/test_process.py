import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wellfit.commands import process

SCRIPT = """
import sys
from wellfit.commands.process import guarded, leave

def work():
    {body}

leave(lambda: guarded("train", work, debug=False))
"""


def unread(*command: str, **variables: str) -> tuple[int, str]:
    """Exit status and standard error of a command whose standard output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    environment = os.environ | {"PYTHONUNBUFFERED": ""} | variables
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60, env=environment)
    os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("body", ["print('a' * 100_000)", "print('a', flush=True)", "print('a')"])
def test_what_nobody_reads_ends_the_command_quietly(body: str, unbuffered: str) -> None:
    command = (sys.executable, "-c", SCRIPT.format(body=body))
    assert unread(*command, PYTHONUNBUFFERED=unbuffered) == (141, "")


def test_help_that_nobody_reads_is_no_error() -> None:
    assert unread(sys.executable, "-m", "wellfit", "predict", "--help") == (141, "")


def test_an_error_is_told_though_nobody_reads_the_output() -> None:
    body = "print('a'); raise OSError(13, 'Permission denied')"
    assert unread(sys.executable, "-c", SCRIPT.format(body=body)) == (1, "train: [Errno 13] Permission denied\n")


def test_another_pipe_that_breaks_is_an_error(tmp_path: Path) -> None:
    script = SCRIPT.format(body="raise BrokenPipeError(32, 'Broken pipe')")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (1, "train: [Errno 32] Broken pipe\n")


def test_a_package_that_is_not_installed_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body="import no_such.package")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert done.stderr == "train: this needs the package no_such: install wellfit with all that it depends on\n"


def test_memory_that_is_not_there_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body="bytes(1 << 62)")], capture_output=True, text=True, timeout=60
    )
    told = "train: not enough memory for this; give fewer rows, or more memory\n"
    assert (done.returncode, done.stderr) == (1, told)


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_disk_that_is_full_is_an_error(stream: str, unbuffered: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        body = f"print('a', file=sys.{stream})"
        other = subprocess.PIPE
        streams = {"stdout": full, "stderr": other} if stream == "stdout" else {"stdout": other, "stderr": full}
        command = [sys.executable, "-c", SCRIPT.format(body=body)]
        done = subprocess.run(command, timeout=60, env=os.environ | {"PYTHONUNBUFFERED": unbuffered}, **streams)
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("where", "told"), [(None, "on the disk of {cwd}"), ("a/b.json", "where a/b.json is to be written")]
)
def test_a_disk_that_is_full_is_named(where: str | None, told: str) -> None:
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where)
    told = told.format(cwd=Path.cwd())
    assert process._explain(error) == (1, f"no space is left {told}: free some, and run this again")
    assert process._explain(OSError(errno.EACCES, "Permission denied", "x"))[1] == "[Errno 13] Permission denied: 'x'"


@pytest.mark.skipif(sys.platform != "linux", reason="file systems of other systems have no such names")
def test_a_name_that_is_not_utf_8_is_one_line(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    for body in ("open('params.yaml', 'w').write(os.getcwd())", "exec('with only_one(\"train\"): pass')"):
        imports = "import os; from wellfit.commands.process import only_one; "
        command = [sys.executable, "-c", SCRIPT.format(body=imports + body)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
        fault = f"{tmp_path}/caf\\xe9: its name has bytes that are not UTF-8; rename it"
        assert (done.returncode, done.stderr) == (1, f"train: {fault}\n")
        assert not (folder / ".wellfit").exists()

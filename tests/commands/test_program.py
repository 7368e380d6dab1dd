import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import wellfit
from wellfit.commands import program
from wellfit.commands.program import COMMANDS, NAMES

ROOT = Path(__file__).parents[2]
MACHINERY = {"__init__", "cli", "completion", "process", "program", "user"}


def outcome(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    try:
        status = program.run(argv)
    except SystemExit as end:
        status = int(end.code or 0)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_the_list_has_each_module_and_each_script() -> None:
    modules = {path.stem for path in (ROOT / "src/wellfit/commands").glob("*.py")} - MACHINERY
    assert sorted(NAMES) == sorted(modules)
    assert {path.stem for path in (ROOT / "pipelines").glob("*.py")} == modules - {"ui"}


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"ui"}))
def test_a_script_is_its_command(name: str) -> None:
    text = (ROOT / "pipelines" / f"{name}.py").read_text()
    assert f'run_script("{name}")' in text
    assert text.count("\n") == 6


def test_help_does_without_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        status, out, err = outcome(capsys, name, "--help")
        assert (status, err) == (0, ""), name
        assert out.startswith(f"usage: wellfit {name} ")


def test_a_command_whose_packages_are_missing_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "wellfit.commands.compare", raising=False)
    monkeypatch.setitem(sys.modules, "wellfit.compare.comparison", None)
    status, out, err = outcome(capsys, "compare", "--help")
    assert (status, out) == (1, "")
    assert err.startswith("compare: ")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", NAMES)
def test_help_says_how_the_command_was_called(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = outcome(capsys, name, "--help")
    assert (status, err) == (0, "")
    assert out.startswith(f"usage: wellfit {name} [-h]")
    described = importlib.import_module(f"wellfit.commands.{name}").__doc__
    assert described
    assert described in out
    assert "--debug" in out


@pytest.mark.parametrize("argv", [["--help"], []])
def test_help_has_a_line_for_each_command(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = outcome(capsys, *argv)
    assert (status, err) == (0, "")
    lines = out.splitlines()
    for title, commands in COMMANDS.items():
        assert title in lines
        for name, does in commands.items():
            assert f"  {name:10}  {does}" in lines
    assert max(map(len, lines)) <= 80


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(capsys, "--version") == (0, f"wellfit {wellfit.__version__}\n", "")


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["trian"], "there is no command trian; did you mean train?"),
        (["predcit", "--input", "new.csv"], "there is no command predcit; did you mean predict?"),
        (["lr-find"], "there is no command lr-find; did you mean lr_find?"),
        (["zzz"], "there is no command zzz; --help lists the commands"),
        (["--verson"], "unrecognized arguments: --verson; did you mean --version?"),
        (["--print-completion", "ksh"], "argument --print-completion: invalid choice: 'ksh'"),
    ],
)
def test_what_is_no_command_is_one_line(argv: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = outcome(capsys, *argv)
    assert (status, out) == (2, "")
    assert err.startswith(f"wellfit: {said}")
    assert err.count("\n") == 1


@pytest.mark.parametrize("argv", [["--version"], ["--help"], ["predict", "--help"], ["nothing"]])
def test_what_is_slow_is_imported_by_the_work_alone(argv: list[str], tmp_path: Path) -> None:
    slow = "{'torch', 'mlflow', 'pandas', 'optuna', 'sklearn', 'matplotlib', 'dvc', 'scipy'}"
    code = f"""if True:
        import sys
        from wellfit.commands import program
        try:
            program.run({argv})
        except SystemExit:
            pass
        print(sorted({slow} & set(sys.modules)), len(sys.modules))
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    heavy, _, count = done.stdout.splitlines()[-1].rpartition(" ")
    assert heavy == "[]"
    assert int(count) < 700
    assert list(tmp_path.iterdir()) == []


def test_a_command_works_in_any_folder_with_params_yaml(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "wellfit", "fetch", "--dataset", "moons", "--data.n_samples", "100"]
    without = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert without.returncode == 1
    assert without.stderr == f"fetch: params.yaml not found in {tmp_path}: run this from the project's root\n"
    assert list(tmp_path.iterdir()) == []
    shutil.copy(ROOT / "params.yaml", tmp_path)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert list((tmp_path / "data/raw/moons").iterdir())

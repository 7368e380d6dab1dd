import shutil
import subprocess
from pathlib import Path

import pytest

from wellfit.commands.completion import completion
from wellfit.commands.program import NAMES, SHELLS
from wellfit.data.catalog import CATALOG
from wellfit.training.optim import OPTIMIZERS

COMPLETE = """
source "$0"
complete -p wellfit
COMP_WORDS=({words}) COMP_CWORD=$(({count} - 1)) COMP_LINE="{words}" COMP_POINT={length}
_shtab_wellfit
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "wellfit.bash"
    path.write_text(completion("bash"))
    return path


def completed(script: Path, folder: Path, *words: str) -> list[str]:
    """What bash offers for the last word."""
    quoted = " ".join(f"'{word}'" for word in words)
    code = COMPLETE.format(words=quoted, count=len(words), length=len(quoted))
    done = subprocess.run(["bash", "-c", code, script], cwd=folder, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    registered, *offered = done.stdout.splitlines()
    assert registered.endswith(" -F _shtab_wellfit wellfit")
    return [text.strip() for text in offered if text.strip()]


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tr"], {"train"}),
        ([""], set(NAMES)),
        (["--v"], {"--version"}),
        (["--print-completion", ""], set(SHELLS)),
        (["predict", "--inte"], {"--interval"}),
        (["predict", "--input", "ne"], {"new.csv", "nested"}),
        (["predict", "--model", "ne"], {"nested"}),
        (["train", "--optim.w"], {"--optim.weight_decay"}),
        (["train", "--optim.name", ""], set(OPTIMIZERS)),
        (["train", "--optim.name", "ada"], {"adam", "adamw", "adagrad"}),
        (["tune", "--dataset", ""], set(CATALOG)),
        (["train", "--model.residual", ""], {"true", "false"}),
        (["train", "--train.precision", ""], {"fp32", "bf16", "auto"}),
        (["compare", "--optim.l"], {"--optim.lr", "--optim.l1"}),
    ],
)
def test_bash_offers(script: Path, tmp_path: Path, words: list[str], offered: set[str]) -> None:
    (tmp_path / "new.csv").touch()
    (tmp_path / "nested").mkdir()
    found = {text.rstrip("/") for text in completed(script, tmp_path, "wellfit", *words)}
    assert found >= offered
    assert found - offered <= {"-h", "--help"}


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_has_a_script_that_it_can_read(shell: str, tmp_path: Path) -> None:
    script = tmp_path / "completion"
    script.write_text(completion(shell))
    assert "lr_find" in script.read_text()
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    subprocess.run([shell, "-n", script], check=True, timeout=30)

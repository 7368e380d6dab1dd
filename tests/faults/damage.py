"""A file that is read back is damaged: the stage names it in one line, or does without it and comes to the same."""

import csv
import math
import re
from pathlib import Path

from .harness import Round
from .outcomes import EQUAL, NO_EFFECT, Broken
from .processes import call, no_run_is_open, one_line
from .project import COMMANDS, nothing_unfinished, outs, same

PROCESSED = "data/processed/moons/*"
TRIALS = ".wellfit/records/*/*"
READ = {
    "preprocess": ["data/raw/moons/*"],
    "tune": [PROCESSED, ".wellfit/studies/*", f"{TRIALS}/run.json", f"{TRIALS}/trials/*/*"],
    "train": [PROCESSED, "reports/tune/*", "models/candidates.safetensors"],
    "evaluate": [PROCESSED, *(f"reports/{stage}/*" for stage in ("tune", "train", "baseline")), "models/*"],
    "predict": ["models/moons/*"],
}
TABLE = "reports/tune/trials.csv"
DAMAGES = ("flip", "flip", "digit", "digit", "other", "cut", "insert", "garbage", "empty", "delete")


def play(now: Round) -> str:
    stage, pattern = now.random.choice([(stage, pattern) for stage in READ for pattern in READ[stage]])
    project = now.template.copy("end", now.folder)
    files = sorted(path for path in project.glob(pattern) if path.is_file())
    file = now.random.choice(files)
    damage(now, file, project)
    if "trials" in file.parts and now.random.random() < 0.5:  # else what the journal says counts
        now.did.append("the journal is emptied")
        for journal in project.glob(".wellfit/studies/*.log"):
            journal.write_bytes(b"")
    before = outs(project, stage)
    done = call(project, *COMMANDS.get(stage, (stage,)))
    nothing_unfinished(project)
    no_run_is_open(project / "mlflow.db")
    if done.status:
        same(outs(project, stage), before)
        return one_line(done, file.name)
    if stage == "tune" and ".wellfit" in file.parts:
        same_trials(project, now.template.outs(stage)["reports/tune/trials.csv"].decode())
    else:
        same(outs(project, stage), now.template.outs(stage))
    return EQUAL if "warning: " in done.err else NO_EFFECT


def damage(now: Round, file: Path, root: Path) -> None:
    """Damages a file in a random way."""
    how, data = now.random.choice(DAMAGES), file.read_bytes()
    place = now.random.randrange(len(data) + 1)
    now.did.append(f"{how} {file.relative_to(root)} at {place}")
    if how == "delete":
        file.unlink()
        return
    if how == "flip" and data:
        place %= len(data)
        data = data[:place] + bytes([data[place] ^ 1 << now.random.randrange(8)]) + data[place + 1 :]
    elif how == "digit" and (places := [found.start() for found in re.finditer(rb"[0-9]", data)]):
        place = now.random.choice(places)
        data = data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]
    elif how == "other" and (others := _others(file)):
        data = now.random.choice(others).read_bytes()
    elif how == "cut":
        data = data[:place]
    elif how == "insert":
        data = data[:place] + now.random.randbytes(3) + data[place:]
    else:
        data = b"" if how == "empty" else now.random.randbytes(2000)
    file.write_bytes(data)


def _others(file: Path) -> list[Path]:
    """Files that are as sound, and of the same sort: beside it, or of the same name in a folder beside its own."""
    found = {*file.parent.glob(f"*{file.suffix}"), *file.parents[1].glob(f"*/{file.name}")} - {file}
    return sorted(path for path in found if path.is_file())


def same_trials(project: Path, expected: str) -> None:
    """Checks that a study has found what it would have: a trial that is run again, beside others, rounds otherwise."""
    for found, right in zip(_trials((project / TABLE).read_text()), _trials(expected), strict=True):
        other = {key for key, value in right.items() if not _is_close(found[key], value)}
        if other - {"best_epoch"}:
            raise Broken(f"trial {right['trial']} is {found}, not {right}")


def _trials(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def _is_close(found: str, right: str) -> bool:
    try:
        return math.isclose(float(found), float(right), rel_tol=1e-4)
    except ValueError:
        return found == right


def is_complete(project: Path) -> None:
    """Checks that a study has all of its trials, none twice, and the values of ``params.yaml`` among them."""
    numbers = sorted(int(row["trial"]) for row in _trials((project / TABLE).read_text()))
    if numbers != list(range(6)):
        raise Broken(f"the study has the trials {numbers}")

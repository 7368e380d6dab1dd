"""What a run was made with: its settings, and all that it takes to make it again."""

from collections.abc import Sequence
from typing import Any

from wellfit.manifest import file_sha256
from wellfit.provenance import changed_files, experiment, git_commit, versions, why_no_commit
from wellfit.report.content import MISSING, Table
from wellfit.report.records import Evaluated, Tuning
from wellfit.settings.params import flatten

MOST_CHANGES = 10  # files that are not as committed


def configuration(run: Evaluated, found: Tuning | None) -> dict[str, Table | None]:
    """All settings of the training, and apart those that are not as in ``params.yaml``, with whose choice they were."""
    given, chosen = run.params.flat(), found.best if found else {}
    rows = []
    for key, value in flatten(run.checkpoint.info["config"]).items():
        if value == given.get(key):
            whose = "params.yaml"
        else:
            whose = "chosen by tune" if chosen.get(key) == value else "given to train"
        rows.append([key, _setting(value), _setting(given.get(key)), whose])
    changed = [row for row in rows if row[-1] != "params.yaml"]
    everything = [[key, value, whose] for key, value, _, whose in rows]
    return {
        "changed": Table("Settings that differ from params.yaml", ["key", "value", "params.yaml", "why"], changed)
        if changed
        else None,
        "all": Table("All settings of the training", ["key", "value", "from"], everything),
    }


def _setting(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_setting, value))}]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else repr(value) if value == "" else str(value)


def reproduction(run: Evaluated) -> dict[str, Any]:
    """Commit, hashes, versions, commands."""
    commit, changes = git_commit(), changed_files()
    facts = [
        ["commit", commit or why_no_commit()],
        ["working tree", _tree(changes) if commit else MISSING],
        ["data sha256", run.meta.sha256],
        ["checkpoint sha256", file_sha256(run.checkpoint_file)],
        ["checkpoint", f"{run.checkpoint_file.as_posix()}, epoch {run.checkpoint.info['epoch']}"],
        ["seeds", f"data {run.params.data.seed}, training {run.checkpoint.info['config']['train']['seed']}"],
    ]
    if pretrained := run.checkpoint.info.get("pretrained"):
        facts.append(["pretrained weights", f"{pretrained['weights']}, sha256 {pretrained['sha256']}"])
    if experiment():
        facts.append(["DVC experiment", experiment()])
    commands = [f"git checkout {commit}"] if commit else []
    says = ""
    if experiment():
        commands += ["make setup", f".venv/bin/dvc exp apply {experiment()}"]
    elif changes:
        says = "These commands do not bring back what was changed since the commit; the files are named below."
    return {
        "facts": Table("Where this comes from", ["what", "value"], facts),
        "versions": Table("Versions", ["package", "version"], [list(item) for item in versions().items()]),
        "commands": "\n".join([*commands, "make repro"]),
        "says": says,
    }


def _tree(changes: Sequence[str]) -> str:
    if not changes:
        return "clean: all files are as committed, but for what the pipeline writes"
    more = f" and {len(changes) - MOST_CHANGES} more" if len(changes) > MOST_CHANGES else ""
    return f"changed since the commit: {', '.join(changes[:MOST_CHANGES])}{more}"

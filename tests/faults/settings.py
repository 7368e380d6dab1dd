"""Random settings in ``params.yaml``: they are refused in one line that names the key, or the stage does with them."""

import io
import math
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from wellfit.errors import WellfitError
from wellfit.settings.params import flatten, load_params

from .harness import Round
from .outcomes import NO_EFFECT, ONE_LINE, Broken
from .processes import call, no_run_is_open, one_line
from .project import nothing_unfinished

VALUES = (
    *(None, True, False, "", "none", "auto", "../..", "/etc/passwd", "\x00", "é" * 300, "!!python/object:os.system"),
    *(0, 1, 2, 3, 7, -1, 10**9, 10**30, 0.0, 0.5, 0.999, 1.0, 1e-8, -0.5, 1e30, math.inf, math.nan),
    *([], {}, [0], [[]], [1, "a"], {"low": 1, "high": 0}, {"low": 0.1, "high": 0.2, "log": True}, {"a": {"b": None}}),
)
TRIES = 50  # files of a round, one of which is trained with
SHORT = ("--train.epochs", "2", "--train.device", "cpu")  # what a user would wait for is no fault


def play(now: Round) -> str:
    project = now.template.copy("train", now.folder)
    file = project / "params.yaml"
    original, accepted = file.read_bytes(), []
    for _ in range(TRIES):
        text, did, keys = _changed(now, original)
        file.write_bytes(text)
        now.did[:] = did
        if _is_accepted(file, keys):
            accepted.append((text, did))
    if not accepted:
        return ONE_LINE
    text, now.did[:] = now.random.choice(accepted)
    file.write_bytes(text)
    done = call(project, "train", *SHORT)
    nothing_unfinished(project)
    no_run_is_open(project / "mlflow.db")
    return one_line(done) if done.status else NO_EFFECT


def _is_accepted(file: Path, keys: list[str]) -> bool:
    try:
        load_params(file)
        return True
    except WellfitError as error:
        text = str(error)
    if "\n" in text or len(text) > 1000 or "params.yaml" not in text:
        raise Broken(f"not one line about params.yaml: {text!r}")
    if keys and not any(key in text or key.rpartition(".")[2] in text for key in keys):
        raise Broken(f"names none of {', '.join(keys)}: {text}")
    return False


def _changed(now: Round, original: bytes) -> tuple[bytes, list[str], list[str]]:
    """A file with other values, or of other bytes, what was done to it, and the keys that are other."""
    if now.random.random() < 0.2:
        place = now.random.randrange(len(original))
        other = now.random.choice([b"\t", b"\x00", b"\xff", b": ", b"&a *a", b"- ", b"'", b"{", b"\n", b""])
        cut = now.random.choice([0, 1, 5])
        return original[:place] + other + original[place + cut :], [f"{cut} bytes become {other!r} at {place}"], []
    yaml = YAML()
    tree: Any = yaml.load(original)
    did, keys = [], []
    for _ in range(now.random.choice([1, 1, 2, 3])):
        key = now.random.choice([*flatten(YAML(typ="safe", pure=True).load(original)), "data", "tune.space", "loss"])
        *parents, last = key.split(".")
        node = tree
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        if not isinstance(node, dict) or last not in node:
            continue
        how, value = now.random.choice(["set", "set", "set", "delete", "rename"]), now.random.choice(VALUES)
        did.append(f"{how} {key} {value!r}" if how == "set" else f"{how} {key}")
        keys.append(key)
        old = node[last] if how == "set" else node.pop(last)
        if how == "set":
            node[last] = old * value if isinstance(old, float) and isinstance(value, float) else value
        elif how == "rename":
            node[f"{last}_"] = old
    text = io.BytesIO()
    yaml.dump(tree, text)
    return text.getvalue(), did, keys

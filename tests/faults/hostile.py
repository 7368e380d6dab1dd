"""Files that somebody made to do harm, with a sha256 that fits: refused in one line, and nothing of them is run."""

import gzip
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np

from wellfit.data.store import load_meta
from wellfit.manifest import file_sha256, sealed, unsealed, write_manifest
from wellfit.serving.model import write_run
from wellfit.tuning.journal import line_of

from .harness import Round
from .outcomes import NO_EFFECT, Broken
from .processes import ROOM, call, no_run_is_open, one_line
from .project import COMMANDS, nothing_unfinished, write_params

BOMB = 1 << 30  # bytes unpacked
DEEP = 100_000  # brackets


def play(now: Round) -> str:
    craft = now.random.choice([_weights, _weights, _model, _journal, _objects, _bomb, _mirror])
    stage, named, project = craft(now)
    now.did.insert(0, craft.__name__)
    done = call(project, *COMMANDS.get(stage, (stage,)), memory=ROOM)
    if [*now.folder.rglob("ran")]:
        raise Broken("a pickle was loaded: its code ran")
    nothing_unfinished(project)
    if (project / "mlflow.db").exists():
        no_run_is_open(project / "mlflow.db")
    return one_line(done, *named) if done.status else NO_EFFECT


class _Runs:
    """A pickle whose loading leaves a trace."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self._folder / "ran"),)


def _safetensors(header: bytes, length: int | None = None, data: bytes = b"") -> bytes:
    return (len(header) if length is None else length).to_bytes(8, "little") + header + data


def _crafted(now: Round) -> bytes:
    tensor = '{"a": {"dtype": "F32", "shape": %s, "data_offsets": %s}, "__metadata__": {"wellfit": %s}}'
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(_Runs(now.folder)))
    name, content = now.random.choice(
        [
            ("header of 2**63 bytes", _safetensors(b"{}", 2**63)),
            ("header of all but 8 bytes", _safetensors(b"{}", 2**64 - 8)),
            (
                "huge shape",
                _safetensors((tensor % ("[4294967296, 4294967296]", "[0, 4]", '"{}"')).encode(), data=b"abcd"),
            ),
            ("offsets outside", _safetensors((tensor % ("[1]", "[1000, 1004]", '"{}"')).encode(), data=b"abcd")),
            ("no tensors", _safetensors(b'{"__metadata__": {"wellfit": "{}"}}')),
            ("nan", _safetensors(b'{"__metadata__": {"wellfit": "{\\"info\\": NaN, \\"sha256\\": NaN}"}}')),
            ("metadata is a list", _safetensors(b'{"__metadata__": {"wellfit": "[]"}}')),
            ("deep", _safetensors(b"[" * DEEP)),
            ("deep metadata", _safetensors(json.dumps({"__metadata__": {"wellfit": "[" * DEEP}}).encode())),
            ("pickle", pickle.dumps(_Runs(now.folder))),
            ("torch.save", archive.getvalue()),
        ]
    )
    now.did.append(name)
    return content


def _weights(now: Round) -> tuple[str, list[str], Path]:
    """Weights that another file vouches for."""
    project = now.template.copy("end", now.folder)
    models, name = project / "models", now.random.choice(["best", "ensemble", "moons/weights", "candidates"])
    file = models / f"{name}.safetensors"
    file.write_bytes(_crafted(now))
    if name == "moons/weights":
        _reseal(models / "moons", {file.name: file_sha256(file)})
        return "predict", [file.name], project
    if name == "candidates":
        return "train", [file.name], project
    write_run(models, "0" * 32, ("best.safetensors", "ensemble.safetensors", "config.yaml"))
    return "evaluate", [file.name], project


def _model(now: Round) -> tuple[str, list[str], Path]:
    """A model folder that names files outside it, or that is made of links."""
    project = now.template.copy("end", now.folder)
    folder = project / "models/moons"
    outside = now.random.choice(["../../params.yaml", "/etc/passwd", "/dev/zero", "../..", "\0", "a" * 5000])
    now.did.append(outside[:50])
    if now.random.random() < 0.5:
        _reseal(folder, {outside: "0" * 64})
    else:
        file = folder / now.random.choice(["weights.safetensors", "model.json", "card.md"])
        file.unlink()
        file.symlink_to(outside if len(outside) < 200 and outside != "\0" else file.name)
    return "predict", ["models/moons", "model.json"], project


def _reseal(folder: Path, files: dict[str, str]) -> None:
    content = unsealed((folder / "model.json").read_text())
    content["files"] |= files
    (folder / "model.json").write_text(sealed(content))


def _journal(now: Round) -> tuple[str, list[str], Path]:
    """Lines in the journal of a study, which say what no study says."""
    project = now.template.copy("end", now.folder)
    (file,) = project.glob(".wellfit/studies/*.log")
    logs = [
        {"op_code": 99, "worker_id": "a"},
        {"op_code": 4, "worker_id": "a", "study_id": 10**9},
        {"op_code": 6, "worker_id": "a", "trial_id": 0, "state": 1, "values": ["nan"]},
        {"op_code": 8, "worker_id": "a", "trial_id": -1, "user_attr": {"best": 0}},
        {"op_code": "0"},
        {"op_code": 1, "worker_id": "a", "study_id": 0},
    ]
    lines = now.random.sample(logs, now.random.choice([1, 2]))
    now.did.append(str(lines))
    sealed_lines = [line_of(log) if now.random.random() < 0.7 else json.dumps(log).encode() + b"\n" for log in lines]
    if now.random.random() < 0.2:
        sealed_lines.append(b"[" * DEEP + b"\n")
    file.write_bytes(file.read_bytes() + b"".join(sealed_lines))
    return "tune", [file.name, "study"], project


def _objects(now: Round) -> tuple[str, list[str], Path]:
    """Arrays of objects, which are pickles."""
    project, content = now.template.copy("end", now.folder), io.BytesIO()
    objects = np.array([_Runs(now.folder)], dtype=object)
    if now.random.random() < 0.5:
        now.did.append("predictions.npz")
        np.savez(content, info=objects, allow_pickle=True)
        (project / "reports/baseline/predictions.npz").write_bytes(content.getvalue())
        write_manifest(project / "reports/baseline", ["predictions.npz"])
        return "evaluate", ["predictions.npz"], project
    folder, name = project / "data/processed/moons", now.random.choice(["x_train.npy", "y_val.npy", "id_train.npy"])
    now.did.append(name)
    with (folder / name).open("wb") as file:
        np.save(file, objects, allow_pickle=True)
    meta = load_meta(folder)
    known = meta.manifest | {name: file_sha256(folder / name)}
    (folder / "meta.json").write_text(meta.model_copy(update={"manifest": known}).to_json())
    return now.random.choice(["train", "tune"]), [name], project


def _bomb(now: Round) -> tuple[str, list[str], Path]:
    """A small file that unpacks to a large one."""
    (project := now.folder / "project").mkdir()
    write_params(project, "data.name=csv", "data.path=own.csv", "data.target=class")
    kind = now.random.choice(["gzip", "zip"])
    now.did.append(kind)
    if kind == "gzip":
        _write_gzip_bomb(project / "own.csv")
    else:
        archive = zipfile.ZipFile(project / "own.csv", "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        with archive, archive.open("own.csv", "w") as member:
            for _ in range(BOMB >> 24):
                member.write(b"a" * (1 << 24))
    assert not call(project, "fetch").status
    return "preprocess", ["own.csv"], project


def _mirror(now: Round) -> tuple[str, list[str], Path]:
    """A mirror that has a bomb, or what it should not, in place of a published data set."""
    (project := now.folder / "project").mkdir()
    folder = project / "mirror/mnist"
    folder.mkdir(parents=True)
    write_params(project, "data.name=mnist", "fetch.retries=0", "fetch.timeout=1")
    _write_gzip_bomb(folder / "train-images-idx3-ubyte.gz")
    return "fetch", ["mnist"], project


def _write_gzip_bomb(file: Path) -> None:
    member = gzip.compress(b"a" * (1 << 24), 1)
    file.write_bytes(member * (BOMB >> 24))

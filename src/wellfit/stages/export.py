"""The export stage: a trained model as one file that runs without wellfit, with a JSON file beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from wellfit.errors import WellfitError
from wellfit.files import is_stream, named_file
from wellfit.manifest import file_sha256
from wellfit.serving.export import FORMATS, export_model
from wellfit.serving.folder import DESCRIPTION, load_model_folder


def export(folder: Path, format_name: str, output: Path | None) -> None:
    """Writes the file and ``<file>.json``, both or neither.

    Args:
        folder: of the model.
        format_name: of `wellfit.serving.export.FORMATS`.
        output: the file to make; None: ``exports/<data>`` with the suffix of the format.

    Raises:
        WellfitError: the model is missing or damaged, a package is missing, or the output is no file.
    """
    model = load_model_folder(folder)
    path = output or Path("exports", model.meta.title + FORMATS[format_name].suffix)
    if is_stream(path):
        raise WellfitError(f"a JSON file is written beside --output, which must be a file, got {path}")
    data, about = export_model(model, format_name)
    hashes = {"sha256": hashlib.sha256(data).hexdigest(), "model_sha256": file_sha256(folder / DESCRIPTION)}
    text = json.dumps({"file": path.name, "format": format_name} | hashes | about, indent=1, ensure_ascii=False)
    with named_file(path) as file, named_file(path.with_name(f"{path.name}.json")) as beside:
        file.write(data)
        beside.write(f"{text}\n".encode())
    for sentence in about["left_to_the_caller"]:
        print(f"note: {sentence}")
    inputs, outputs = (", ".join(each["name"] for each in about[key]) for key in ("inputs", "outputs"))
    print(f"exported {folder} ({inputs} to {outputs}): {path}, with {path.name}.json")

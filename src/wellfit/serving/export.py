"""A model as one file that runs without wellfit, and what whoever runs it has to know, as JSON."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

import wellfit
from wellfit.data.encode import MISSING, OTHER
from wellfit.data.meta import Meta
from wellfit.data.sources import N_HASHED, input_names
from wellfit.errors import WellfitError
from wellfit.serving.graph import PredictionGraph
from wellfit.serving.predictor import Predictor


class Exported(NamedTuple):
    """A model to be written.

    Attributes:
        data: of the file.
        about: the inputs in their order, with the columns and categories that they hold, the outputs, the classes, and
            what is left to the caller.
    """

    data: bytes
    about: dict[str, Any]


class Format(NamedTuple):
    """A kind of file.

    Attributes:
        suffix: of its name.
        write: from the traced graph, the inputs' names and the outputs' names to the file's bytes.
        packages: that it needs beside those that wellfit always needs.
    """

    suffix: str
    write: Callable[[ExportedProgram, list[str], list[str]], bytes]
    packages: tuple[str, ...] = ()


def export_model(predictor: Predictor, format_name: str) -> Exported:
    """Traces all that a model computes, for any number of rows, and writes it in a format.

    Args:
        predictor: the model.
        format_name: of `FORMATS`.

    Raises:
        WellfitError: a package is missing.
    """
    file_format = FORMATS[format_name]
    if any(find_spec(package) is None for package in file_format.packages):
        raise WellfitError(f'{format_name} needs {" and ".join(file_format.packages)}: pip install "wellfit[export]"')
    graph = PredictionGraph(predictor)
    inputs, rows = tuple(graph.example.values()), Dim("rows")
    with torch.no_grad():
        outputs = graph(*inputs)
        program = torch.export.export(graph, inputs, dynamic_shapes=(tuple({0: rows} for _ in inputs),))
    data = file_format.write(program, list(graph.example), list(outputs))
    meta = predictor.meta
    columns = _columns(meta)
    about = {
        "wellfit": wellfit.__version__,
        "data_sha256": meta.sha256,
        "predicts": meta.target_name,
        "inputs": [_tensor(name, each) | {"columns": columns[name]} for name, each in graph.example.items()],
        "outputs": [_tensor(name, each) for name, each in outputs.items()],
        "classes": list(meta.class_names),
        "left_to_the_caller": _left_to_the_caller(meta),
    }
    return Exported(data, about)


def _write_onnx(program: ExportedProgram, inputs: list[str], outputs: list[str]) -> bytes:
    from onnxscript import optimizer

    from wellfit.serving.onnx_operators import TRANSLATIONS

    converted = torch.onnx.export(
        program,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=({0: "rows"}, *({} for _ in inputs[1:])),
        custom_translation_table=TRANSLATIONS,
        optimize=False,  # it would drop addends below 1e-8
        verbose=False,
    )
    assert converted is not None
    optimizer.fold_constants(converted.model)
    optimizer.remove_unused_nodes(converted.model)
    graph = converted.model.graph
    # What torch notes for debugging: paths of this machine, and three quarters of the file.
    for part in (graph, *graph, *graph.inputs, *graph.outputs, *graph.initializers.values()):
        part.metadata_props.clear()
    data: bytes = converted.model_proto.SerializeToString(deterministic=True)
    return data


def _write_torch(program: ExportedProgram, _inputs: list[str], _outputs: list[str]) -> bytes:
    for node in program.graph.nodes:  # paths of this machine, and names of wellfit
        node.meta.pop("stack_trace", None)
        node.meta.pop("nn_module_stack", None)
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # of weights of convolutions, whose order in memory is another one
        warnings.filterwarnings("ignore", "No complete tensor found in the group")
        torch.export.save(program, buffer)
    return buffer.getvalue()


FORMATS = {
    "onnx": Format(".onnx", _write_onnx, ("onnx", "onnxscript")),
    "torch_export": Format(".pt2", _write_torch),
}


def _tensor(name: str, example: Tensor) -> dict[str, Any]:
    shape = ["rows", *example.shape[1:]]
    return {"name": name, "dtype": str(example.dtype).removeprefix("torch."), "shape": shape}


def _columns(meta: Meta) -> dict[str, list[dict[str, Any]]]:
    """What each column of ``numbers`` and of ``codes`` is called, and how the cells of the table become its values."""
    sources = {name: source for source in meta.inputs for name in input_names(source)}
    found: dict[str, list[dict[str, Any]]] = {"numbers": [], "codes": [], "pixels": []}
    for column in meta.columns:
        source = sources[column.name].model_dump(exclude_defaults=True, exclude={"parts"})
        if column.fill is not None:
            found["numbers"].append({"name": column.name, "from": source})
            continue
        codes = {category: code for code, category in enumerate(column.categories)}
        missing = codes.pop(MISSING, OTHER)
        found["codes"].append(
            {"name": column.name, "from": source, "categories": codes, "missing": missing, "other": OTHER}
        )
    return found


def _left_to_the_caller(meta: Meta) -> list[str]:
    """What the file does not do, one sentence each."""
    if meta.kind == "images":
        channels, height, width = meta.input_shape
        colours = "one grey channel" if channels == 1 else "red, green and blue"
        return [f"the caller reads images, and scales and crops them to {height} x {width} pixels of {colours}"]
    said = ["the caller reads cells as numbers, NaN where missing, and categories as their codes"]
    kinds = {source.kind for source in meta.inputs}
    if "dates" in kinds:
        said.append(
            "the caller makes numbers of dates: the year, the month, the weekday from 0 for Monday, the hour, and the "
            "days since 'origin'"
        )
    if "text" in kinds:
        said.append(
            "the caller counts the words of free text, by scikit-learn's "
            f"HashingVectorizer(n_features={N_HASHED}, alternate_sign=False, norm=None)"
        )
    return said

"""The card of a model: what it predicts, how well, from what, and where it should not be trusted; Markdown."""

from collections.abc import Sequence

from wellfit.baselines.comparison import base_rate, conclusion
from wellfit.data.catalog import CATALOG
from wellfit.data.meta import Meta, Source
from wellfit.metrics.names import score_name
from wellfit.report.content import in_print, rows_in_words, scores, with_interval
from wellfit.report.ensemble import model_in_words
from wellfit.report.leakage import leakage
from wellfit.report.records import Evaluated
from wellfit.report.sections import MEANINGS

MOST_COLUMNS = 200
MOST_CLASSES = 100
KINDS = {"numbers": "numbers", "categories": "categories", "dates": "dates", "text": "text, by its words"}


def card(run: Evaluated) -> str:
    """What people should know of a model that was evaluated."""
    meta = run.meta
    what = f"one of {len(meta.class_names)} classes" if meta.class_names else "a number"
    of = f"a row of {len(meta.inputs)} columns" if meta.kind == "table" else f"an image of {_size(meta)} pixels"
    parts = [
        f"# {_plain(meta.title)}: {model_in_words(run)}",
        f"Predicts {_code(meta.target_name)}, {what}, from {of}.",
        _scores(run),
        _data(run),
        _inputs(meta) if meta.kind == "table" else "",
        _limits(run),
        _use(meta),
    ]
    return "\n\n".join(filter(None, parts)) + "\n"


def _scores(run: Evaluated) -> str:
    rates = base_rate(run.baselines) if run.baselines else {}
    rows = [
        [score_name(name), *with_interval(run.metrics, name), scores(name, [value, rates.get(name)])[1]]
        for name, value in run.metrics.items()
        if name in MEANINGS
    ]
    text = f"## How good it is\n\nOn {rows_in_words(len(run.test.y))} that no training and no choice has seen:\n\n"
    text += _table(["score", "value", "95 % interval", "a constant"], rows)
    if run.baselines:
        text += f"\n\nBeside what one would use instead: {in_print(conclusion(run.baselines))}."
    for note in run.decided.decision.notes:
        text += f"\n\n{in_print(f'{note[0].upper()}{note[1:]}.')}"
    for warning in leakage(run.meta, run.metrics):
        text += f"\n\n{_plain(f'{warning[0].upper()}{warning[1:]}.')}"
    return text


def _data(run: Evaluated) -> str:
    meta, sizes = run.meta, run.meta.split_sizes
    entry = CATALOG[meta.name]
    where = f"From {_code(run.params.data.path)}" if entry.is_own else f"{entry.source}. Licence: {entry.licence}"
    text = (
        f"## What it was trained on\n\n{rows_in_words(sizes['train'])}; {sizes['val']:,} more chose epochs, settings "
        f"and members. {where}. Data sha256 `{meta.sha256}`."
    )
    if pretrained := run.checkpoint.info.get("pretrained"):
        name = run.checkpoint.info["config"]["model"]["name"]
        text += f" It starts from weights of {_code(name)}, which were trained on other images: "
        text += f"{_plain(pretrained['weights'])}, sha256 `{pretrained['sha256']}`."
    if meta.class_names:
        counts = zip(meta.class_names[:MOST_CLASSES], meta.class_counts[:MOST_CLASSES], strict=True)
        text += "\n\n" + _table(["class", "training rows"], [[_code(name), f"{count:,}"] for name, count in counts])
    return text


def _inputs(meta: Meta) -> str:
    rows = [[_code(source.name), _reading(source, meta)] for source in meta.inputs[:MOST_COLUMNS]]
    return "## What it takes\n\n" + _table(["column", "holds"], rows)


def _reading(source: Source, meta: Meta) -> str:
    column = next((column for column in meta.columns if column.name == source.name), None)
    known = f" ({len(column.categories)} known)" if column and column.categories else ""
    unit = f", in {source.unit}" if source.unit else f", in {source.currency}" if source.currency else ""
    note = f"; {source.note}" if source.note else ""
    return _plain(f"{KINDS[source.kind]}{known}{unit}{note}")


def _limits(run: Evaluated) -> str:
    meta = run.meta
    said = [
        "The scores hold for rows that come about as those of the data did: later ones, or those of another place, may "
        "be predicted worse. `predict --check` compares new rows with the training rows.",
    ]
    if meta.kind == "table":
        said.append(
            "An empty cell counts as the median or as a category of its own, a category that the training rows do not "
            "have as none of theirs; `predict` counts both."
        )
    if run.decided.decision.coverage is not None:
        what = "Sets" if meta.task == "classification" else "Intervals"
        said.append(f"{what} hold the truth as often as asked for on average over rows, not for each kind of row.")
    said += [_plain(f"{sentence[0].upper()}{sentence[1:]}.") for sentence in meta.warnings]
    return "## Where to be careful\n\n" + "\n".join(f"- {sentence}" for sentence in said)


def _use(meta: Meta) -> str:
    rows = "pandas.read_csv('new.csv', dtype=str)" if meta.kind == "table" else "['new.png']"
    first = ["import pandas"] if meta.kind == "table" else []
    more = "predict_proba(rows), model.predict_set(rows)" if meta.class_names else "predict_interval(rows)"
    lines = [*first, "import wellfit", "model = wellfit.load('.')  # the folder of this file", f"rows = {rows}"]
    lines += ["model.predict(rows)", f"model.{more}"]
    return "## How to use it\n\n```python\n" + "\n".join(lines) + "\n```"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def _code(name: str) -> str:
    """A name as it is, in which Markdown and HTML mean nothing."""
    text = _one_line(name).replace("`", "'")
    return f"`{text}`"


def _plain(text: str) -> str:
    """A sentence, or a cell of a table, that holds what users have named."""
    return _one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace("`", "'")


def _one_line(text: str) -> str:
    """Without line breaks and bars, which end a cell."""
    return " ".join(text.split()).replace("|", "\\|")


def _size(meta: Meta) -> str:
    channels, height, width = meta.input_shape
    return f"{height} x {width}{'' if channels > 1 else ' grey'}"

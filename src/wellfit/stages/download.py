"""Whether a data set that comparisons download can be had here."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from wellfit.compare.base import load_base
from wellfit.compare.comparison import NamedComparison
from wellfit.compare.data import FOLDER, download
from wellfit.compare.page import markdown
from wellfit.data.catalog import CATALOG
from wellfit.errors import WellfitError
from wellfit.files import replacing, write_text, write_yaml
from wellfit.settings.params import Params
from wellfit.settings.parse import AS_IN_FILE, parse_override, read_yaml


def available_file(name: str) -> Path:
    """Where it is written down whether a data set is here."""
    return FOLDER / "available" / f"{name}.yaml"


def published() -> Mapping[str, str]:
    """The data sets that are published somewhere, each with its source."""
    return {name: entry.source for name, entry in CATALOG.items() if entry.files}


def load_download(name: str, overrides: Sequence[str] = ()) -> Params:
    """The configuration of comparisons with a data set.

    Raises:
        WellfitError: it is none that is downloaded, or an override is wrong.
    """
    if name not in published():
        raise WellfitError(f"data set {name} is none that is downloaded; there are: {', '.join(published())}")
    given = {key: value for key, value in map(parse_override, overrides) if value is not AS_IN_FILE}
    return load_base({"data.name": name} | given)


def try_download(params: Params) -> None:
    """Fetches a data set for comparisons, in one try, and writes down whether it is here: ``<name>: true``."""
    name = params.data.name
    try:
        download(params.data, params.fetch.model_copy(update={"retries": 0}))
        is_here = True
    except WellfitError as error:
        print(f"{name} cannot be had, its comparisons are passed over: {error}", flush=True)
        is_here = False
    write_yaml(available_file(name), {name: is_here}, "Whether the data are here, for comparisons.")


def is_passed_over(named: NamedComparison, report: Path) -> bool:
    """Whether a comparison is not run for want of its data; then its report says so.

    Args:
        named: the comparison.
        report: the folder to make.
    """
    data = named.base.data.name
    file = available_file(data)
    if not file.exists() or read_yaml(file).get(data, True):
        return False
    with replacing(report) as folder:
        again = f"dvc repro --force comparisons/dvc.yaml:{named.name}"
        why = f"Not run: {markdown(data)} could not be had. `{again}` tries again."
        text = [f"# {markdown(named.comparison.title)}", markdown(named.comparison.question), why]
        write_text(folder / "README.md", "\n\n".join(text) + "\n")
    print(f"not run: {data} could not be had")
    return True

"""Which of the data sets that are downloaded for comparisons can be had here."""

from pathlib import Path

from wellfit.compare.config import NamedComparison, comparison_names, load_comparison
from wellfit.compare.data import FOLDER, download
from wellfit.compare.page import markdown
from wellfit.data.catalog import CATALOG
from wellfit.data.publish import replacing
from wellfit.errors import WellfitError
from wellfit.files import write_text, write_yaml
from wellfit.settings import read_yaml

AVAILABLE = FOLDER / "available.yaml"


def download_all(file: Path) -> None:
    """Fetches the data sets of all comparisons that are published somewhere, and writes down which are here.

    One try each: what is not here is tried again the next time.

    Args:
        file: gets the name of each data set, and true or false.
    """
    bases = {base.data.name: base for base in (load_comparison(name).base for name in comparison_names())}
    available: dict[str, bool] = {}
    for name, base in sorted(bases.items()):
        if not CATALOG[name].files:
            continue
        try:
            download(base.data, base.fetch.model_copy(update={"retries": 0}))
            available[name] = True
        except WellfitError as error:
            print(f"{name} cannot be had, its comparisons are passed over: {error}", flush=True)
            available[name] = False
    write_yaml(file, available, "Data sets that comparisons download: which are here.")


def is_passed_over(named: NamedComparison, report: Path) -> bool:
    """Whether a comparison is not run for want of its data; then its report says so.

    Args:
        named: the comparison.
        report: the folder to make.
    """
    data = named.base.data.name
    if not AVAILABLE.exists() or read_yaml(AVAILABLE).get(data, True):
        return False
    with replacing(report) as folder:
        why = f"Not run: {markdown(data)} could not be had. `dvc repro comparisons/dvc.yaml` tries again."
        text = [f"# {markdown(named.comparison.title)}", markdown(named.comparison.question), why]
        write_text(folder / "README.md", "\n\n".join(text) + "\n")
    print(f"not run: {data} could not be had")
    return True

"""``docs/comparisons/``: the pages of all comparisons, with few and small pictures, and a list of what they found.

``make findings`` runs it after the comparisons. Of one that was not run here, for its data could not be had, the page
says what it asks and how it is run, and a page of before stays.
"""

import re
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image

from wellfit.compare.comparison import Comparison, comparison_names, has_stage, load_comparison
from wellfit.compare.page import markdown
from wellfit.errors import WellfitError
from wellfit.files import write_bytes, write_text

DOCS, REPORTS = Path("docs/comparisons"), Path("reports/comparisons")
SHOWN = ("boundaries", "schedules", "curves")  # of which a page has the first two that there are
COLOURS = 128  # of a picture: a third of the bytes, and nothing that is seen

_SECTION = re.compile(r"^## [^\n]+\n\n!\[[^\n]*\]\(plots/(\w+)\.png\)\n\n", re.MULTILINE)


def write_docs(docs: Path, reports: Path) -> None:
    """Writes a page for each comparison, and the list of all.

    Args:
        docs: the folder of the pages.
        reports: the folder of the reports, ``NAME/README.md`` and its pictures.
    """
    lines = [
        "# Comparisons",
        "Does it help? Each line is a question, asked of several seeds; differences are those of pairs with the same "
        "seed, with 95 % intervals by Student's t. `dvc repro comparisons/dvc.yaml` runs all of them, "
        "`dvc repro comparisons/dvc.yaml:NAME` one.",
    ]
    rows = ["| comparison | question | finding |", "| --- | --- | --- |"]
    for name in filter(has_stage, comparison_names()):
        comparison = load_comparison(name).comparison
        report, page = reports / name, docs / f"{name}.md"
        if (report / "finding.txt").exists():  # not of one that was passed over
            write_text(page, _with_few_pictures(report, name, docs))
        elif not page.exists():
            write_text(page, _page_without_numbers(name, comparison))
        finding = re.search(r"^\*\*Finding\.\*\* (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
        told = finding[1] if finding else "not measured yet"
        rows.append(f"| [{name}]({name}.md) | {markdown(comparison.question)} | {told} |")
    write_text(docs / "README.md", "\n\n".join([*lines, "\n".join(rows)]) + "\n")


def _with_few_pictures(report: Path, name: str, docs: Path) -> str:
    """The page of a report, whose pictures are put beside it; those that are not shown lose their section."""
    page = (report / "README.md").read_text(encoding="utf-8")
    there = [found[1] for found in _SECTION.finditer(page)]
    shown = [picture for picture in SHOWN if picture in there][:2]
    for picture in shown:
        write_bytes(docs / f"{name}-{picture}.png", _smaller(report / "plots" / f"{picture}.png"))
    page = _SECTION.sub(lambda found: found[0] if found[1] in shown else "", page)
    return page.replace("](plots/", f"]({name}-")


def _smaller(file: Path) -> bytes:
    """A PNG of few colours."""
    png = BytesIO()
    with Image.open(file) as image:
        image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(png, "PNG", optimize=True)
    return png.getvalue()


def _page_without_numbers(name: str, comparison: Comparison) -> str:
    return "\n\n".join(
        [
            f"# {markdown(comparison.title)}",
            markdown(comparison.question),
            f"Not measured yet: it needs {comparison.base['data.name']}, which is downloaded when it is run.",
            f"## What is known\n\n{markdown(comparison.expectation)}",
            f"## Run it\n\n```sh\ndvc repro comparisons/dvc.yaml:{name}\n```\n",
        ]
    )


if __name__ == "__main__":
    try:
        write_docs(DOCS, REPORTS)
    except WellfitError as error:
        sys.exit(f"docs: {error}")
    print(f"{DOCS} has a page for each comparison of comparisons/dvc.yaml")

"""``reports/report.html``: all of a run on one page that asks nothing of the network."""

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from wellfit.charts.style import svg
from wellfit.files import write_text
from wellfit.report import decision, origin, sections
from wellfit.report.baselines import baselines
from wellfit.report.content import cell, is_number
from wellfit.report.ensemble import ensemble
from wellfit.report.records import Evaluated, Records

TEMPLATES = Path(__file__).parent / "templates"


def write_page(page: Path, run: Evaluated, records: Records) -> None:
    """Writes the page; the same run gives the same bytes.

    Args:
        page: the file to make or replace.
        run: what ``evaluate`` has found.
        records: of other stages. What is missing is left out, and the page says so.

    Raises:
        WellfitError: a file of the data is missing or damaged.
    """
    trained, tuned = records
    content = {
        "name": run.meta.title,
        "headline": sections.headline(run),
        "cards": sections.cards(run, trained),
        "results": sections.results(run),
        "baselines": baselines(run),
        "decisions": decision.section(run.decided, run.metrics, run.meta.task),
        "ensemble": ensemble(run, trained),
        "explained": run.explained,
        "training": sections.training(run, trained),
        "tuning": sections.tuning(run, tuned),
        "data": sections.data(run),
        "configuration": origin.configuration(run, tuned),
        "reproduction": origin.reproduction(run),
    }
    write_text(page, render("page.html.j2", content))


def render(template: str, content: dict[str, Any]) -> str:
    """A page as HTML. What comes from the data is text there, whatever it holds.

    Args:
        template: name of a file in ``templates/``.
        content: what it shows.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"cell": cell, "slug": slug, "svg": svg}
    environment.tests["numeric"] = is_number
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "script.js"))
    # Nothing else may run or be loaded, whatever stands on the page.
    policy = (
        f"default-src 'none'; img-src data:; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template(template).render(content, style=style, script=script, policy=policy)


def slug(text: str) -> str:
    """A text as part of an ``id``."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "it"


def _source(text: str) -> str:
    """A style or script as a content security policy names it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

"""A comparison as its file in ``comparisons/`` says it."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from wellfit.compare.base import BASE_FILE, load_base
from wellfit.config import Config, as_tuple
from wellfit.data.catalog import CATALOG
from wellfit.data.meta import Task
from wellfit.errors import WellfitError
from wellfit.settings.params import Params, validate
from wellfit.settings.parse import AS_IN_FILE, parse_override, read_yaml
from wellfit.training.members import MONITORS
from wellfit.training.record import resolved_config

FOLDER = Path("comparisons")
NO_COMPARISONS = ("base", "dvc")  # files of the folder
NOT_READ = ("track", "lr_find", "tune", "evaluate")  # sections of a params file
LONGEST_NAME = 60  # characters of a variant's name
SPLITS = ("test", "val", "train", "gap")
SCORES = {task: ("loss", *(name.removeprefix("val/") for name in names)) for task, names in MONITORS.items()}


def _named(variants: Any) -> Any:
    for name in variants if isinstance(variants, dict) else ():
        if not isinstance(name, str):
            raise ValueError(f"a name must be text, so put it in quotes, got {name!r}")
        if not (0 < len(name) <= LONGEST_NAME and name.isprintable() and name == name.strip()):
            raise ValueError(f"a name must be a line of 1 to {LONGEST_NAME} characters, no space around, got {name!r}")
    return variants


class Comparison(Config):
    """A question, and the trainings that answer it.

    Attributes:
        title: a few words.
        question: one sentence.
        expectation: what is known, one sentence; a result that disagrees is to be read with it.
        base: dotted key to value, over ``comparisons/base.yaml``.
        variants: name to dotted key to value, over ``base``. The first is what the others are compared with.
        seeds: how many, 0, 1, 2, ...; the same for each variant, so that differences are paired.
        weights: which are scored: those of the best validation epoch, or of the last epoch.
        measure: scores to tell, such as ``test/accuracy`` and ``gap/accuracy``, the most important first.
    """

    title: str = Field(min_length=1)
    question: str = Field(min_length=1)
    expectation: str = Field(min_length=1)
    base: dict[str, Any]
    variants: Annotated[dict[str, dict[str, Any]], BeforeValidator(_named), Field(min_length=1)]
    seeds: int = Field(ge=2, le=100)
    weights: Literal["best", "last"]
    measure: Annotated[tuple[str, ...], BeforeValidator(as_tuple), Field(min_length=1)]


class NamedComparison(NamedTuple):
    """A comparison with the configuration of each of its trainings.

    Attributes:
        name: of its file.
        comparison: what the file says; ``base`` with what was given for this run.
        base: the configuration that the variants change.
        variants: name to configuration, with the seed of the first training.
        given: dotted key to value, as given for this run over what the file says.
    """

    name: str
    comparison: Comparison
    base: Params
    variants: Mapping[str, Params]
    given: Mapping[str, Any]

    @property
    def path(self) -> Path:
        """Its file."""
        return FOLDER / f"{self.name}.yaml"

    def check_measures(self, task: Task) -> None:
        """Checks that all of ``measure`` is measured.

        Args:
            task: of the data.

        Raises:
            WellfitError: an entry that is not.
        """
        known = [f"{split}/{score}" for split in SPLITS for score in SCORES[task]]
        for number, measure in enumerate(self.comparison.measure):
            if measure in self.comparison.measure[:number]:
                raise WellfitError(f"measure: {measure} stands there twice; keep one ({self.path})")
            if measure in known:
                continue
            split, _, score = measure.partition("/")
            others = [name for name in SCORES if score in SCORES[name]]
            if split in SPLITS and others:
                hint = f"is a score of a {others[0]}, but data.name {self.base.data.name} is a {task}"
            elif close := difflib.get_close_matches(measure, known, n=1):
                hint = f"is not measured; did you mean {close[0]}?"
            else:
                scores = ", ".join(SCORES[task])
                hint = f"is not measured: it is one of {', '.join(SPLITS)}, a slash, and one of {scores}"
            raise WellfitError(f"measure: {measure} {hint} ({self.path})")


def comparison_names() -> list[str]:
    """The comparisons there are, in alphabetical order."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem not in NO_COMPARISONS)


def has_stage(name: str) -> bool:
    """Whether DVC knows a comparison."""
    file = FOLDER / "dvc.yaml"
    return file.exists() and name in read_yaml(file).get("stages", {})


def comparison_titles() -> dict[str, str]:
    """The comparisons there are, each with its title."""
    titles = {}
    for name in comparison_names():
        try:
            titles[name] = str(read_yaml(FOLDER / f"{name}.yaml").get("title", ""))
        except WellfitError as error:  # to be said in full when it is run
            titles[name] = f"({error})"
    return titles


def load_comparison(name: str, overrides: Sequence[str] = ()) -> NamedComparison:
    """Reads and validates a comparison.

    Args:
        name: of its file in ``comparisons/``, without the suffix.
        overrides: ``KEY=VALUE`` texts that lie over ``base`` and below what the variants change.

    Raises:
        WellfitError: one line for the first mistake found.
    """
    if name not in comparison_names():
        raise WellfitError(_unknown_name(name))
    path = FOLDER / f"{name}.yaml"
    comparison = validate(Comparison, read_yaml(path, "keys (`title:`, `variants:`, ...)"), str(path))
    given = {key: value for key, value in map(parse_override, overrides) if value is not AS_IN_FILE}
    sources = dict.fromkeys(comparison.base, f"{path}: base") | dict.fromkeys(given, "--set")
    for key, source in sources.items():
        _check_is_read(key, source)
    for key in given:
        if all(key in changes for changes in comparison.variants.values()):
            raise WellfitError(f"{key} is what {path} compares: each of its variants sets it (--set)")
    comparison = comparison.model_copy(update={"base": comparison.base | given})
    base = load_base().replace(comparison.base, sources, file=str(BASE_FILE))
    variants = {}
    for variant, changes in comparison.variants.items():
        source = f"{path}: variants.{variant}"
        for key in changes:
            _check_is_read(key, source)
            _check_may_differ(key, source)
        variants[variant] = base.replace(changes, source, file=str(BASE_FILE))
    for variant, params in {"base": base, **variants}.items():
        if params.model.is_pretrained:
            where = variant if variant == "base" else f"variants.{variant}"
            raise WellfitError(
                f"model.name {params.model.name} starts from pretrained weights, which comparisons do not; use "
                f"model.weights random with model.freeze false, or another network ({path}: {where})"
            )
    _check_are_different(variants, path)
    named = NamedComparison(name, comparison, base, variants, given)
    asked = base.data.task
    task = asked if asked == "classification" or asked == "regression" else CATALOG[base.data.name].task
    if task is not None:  # else it is known once the data are
        named.check_measures(task)
    return named


def _unknown_name(name: str) -> str:
    names = comparison_names()
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(names) or 'none'}"
    return f"{FOLDER / name}.yaml not found; {hint}"


def _check_is_read(key: str, source: str) -> None:
    if "." not in key:
        raise WellfitError(f"{key} must be a dotted key, such as model.dropout ({source})")
    if key == "train.seed":
        raise WellfitError(f"train.seed is 0, 1, 2, ... in a comparison: say in seeds how many ({source})")
    if key.split(".")[0] in NOT_READ:
        raise WellfitError(f"{key} does nothing in a comparison: leave it out ({source})")


def _check_may_differ(key: str, source: str) -> None:
    section = key.split(".")[0]
    if section == "data" and key != "data.augment":
        raise WellfitError(f"{key} may not differ between variants, which share their data: set it in base ({source})")
    if key == "train.device" or section == "fetch":
        raise WellfitError(f"{key} may not differ between variants: set it in base ({source})")


def _check_are_different(variants: Mapping[str, Params], path: Path) -> None:
    known: dict[str, str] = {}
    for name, params in variants.items():
        config = str(resolved_config(params))
        if config in known:
            raise WellfitError(f"variants.{known[config]} and variants.{name} have equal settings; drop one ({path})")
        known[config] = name

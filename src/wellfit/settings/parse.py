"""Settings as texts: files of YAML, and ``KEY=VALUE`` of a command line."""

from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from wellfit.errors import WellfitError

AS_IN_FILE = object()  # what an empty VALUE of KEY=VALUE is


def read_yaml(path: Path, holds: str = "sections (`data:`, `model:`, ...)") -> dict[str, Any]:
    """Reads a file of settings.

    Args:
        path: the file.
        holds: what it must hold, for the message where it does not.

    Raises:
        WellfitError: it is missing, empty or not YAML, or a key stands there twice; says in which line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise WellfitError(f"{path} not found in {Path.cwd()}: run this from the project's root") from None
    except (OSError, UnicodeDecodeError) as error:
        raise WellfitError(f"{path} cannot be read: {error}") from None
    try:
        tree = deepcopy(_parsed(text))
    except DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        key = str(error.problem).split('"')[1] if '"' in str(error.problem) else "?"
        raise WellfitError(f"{path} line {line}: key {key!r} stands there twice; keep one") from None
    except (YAMLError, ValueError, RecursionError) as error:
        raise WellfitError(f"{path}{_yaml_fault(error)}") from None
    if tree is None:
        raise WellfitError(f"{path} is empty; `git checkout {path}` brings back what was committed")
    if not isinstance(tree, dict):
        raise WellfitError(f"{path} must hold {holds}, got a {type(tree).__name__}")
    return tree


@lru_cache(maxsize=1024)
def _parsed(text: str) -> Any:
    """What YAML says; a file of settings takes 50 ms, and comparisons and tests read it over and over."""
    return YAML(typ="safe", pure=True).load(text)


def parse_override(text: str) -> tuple[str, Any]:
    """Key and value of a ``KEY=VALUE`` text, whose VALUE is YAML; ``AS_IN_FILE`` where there is none.

    Raises:
        WellfitError: it is no such text.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise WellfitError(f"--set takes KEY=VALUE, such as optim.lr=0.01, got {text!r}")
    try:
        return key.strip(), deepcopy(_parsed(value)) if value.strip() else AS_IN_FILE
    except (YAMLError, ValueError, RecursionError) as error:
        raise WellfitError(f"--set {key}: value {value!r}{_yaml_fault(error)}") from None


def _yaml_fault(error: YAMLError | ValueError | RecursionError) -> str:
    if isinstance(error, MarkedYAMLError) and error.problem_mark:
        mark = error.problem_mark
        return f" line {mark.line + 1}, column {mark.column + 1}: not valid YAML: {error.problem}"
    return " is not valid YAML: " + " ".join(str(error).split())

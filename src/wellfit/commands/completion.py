"""What a shell needs to complete ``wellfit``: commands, options, files, keys of ``params.yaml`` and their values."""

from argparse import Action, ArgumentParser
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import shtab
from pydantic.fields import FieldInfo

from wellfit.commands.cli import SHORT_NAMES, Parser, add_options
from wellfit.commands.program import COMMANDS, make_parser
from wellfit.config import Config, OneOf
from wellfit.settings.params import Params


def completion(shell: str) -> str:
    """A script that completes the command line.

    Args:
        shell: bash, zsh or tcsh.
    """
    parser = make_parser()
    commands = parser.add_subparsers()
    keys = _keys(Params)
    for name, does in (entry for group in COMMANDS.values() for entry in group.items()):
        command = import_module(f"wellfit.commands.{name}").COMMAND
        of_command: Parser = commands.add_parser(name, help=does)
        add_options(of_command, command)
        if command.takes_keys:
            _add_keys(of_command, keys)
        for action in of_command._actions:
            _complete_paths(action)
    return shtab.complete(parser, shell)


def _add_keys(parser: ArgumentParser, keys: dict[str, list[str] | None]) -> None:
    for action in parser._actions:
        if key := SHORT_NAMES.get(action.dest):
            action.choices = keys[key]
    for key, values in keys.items():
        parser.add_argument(f"--{key}", choices=values, help=f"short for --set {key}=VALUE")


def _complete_paths(action: Action) -> None:
    if action.type is Path:
        action.complete = shtab.DIRECTORY if action.metavar == "FOLDER" else shtab.FILE  # type: ignore[attr-defined]


def _keys(section: type[Config], prefix: str = "") -> dict[str, list[str] | None]:
    """Dotted keys, each with the words that it may have; None where these cannot be listed."""
    keys: dict[str, list[str] | None] = {}
    for name, field in section.model_fields.items():
        kind: Any = field.annotation
        if isinstance(kind, type) and issubclass(kind, Config):
            keys |= _keys(kind, f"{prefix}{name}.")
        else:
            keys[f"{prefix}{name}"] = _words(field)
    return keys


def _words(field: FieldInfo) -> list[str] | None:
    for rule in field.metadata:
        if isinstance(rule, OneOf):
            return list(rule.names)
    if field.annotation is bool:
        return ["true", "false"]
    return [str(word) for word in get_args(field.annotation)] if get_origin(field.annotation) is Literal else None

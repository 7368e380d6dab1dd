"""The one exception that a user is meant to read, and what no message says."""

import re
from collections.abc import Sequence

LONGEST = 200  # letters of what others say


class WellfitError(Exception):
    """Bad input or a missing file, said in one line that names what is at fault and what to do.

    Attributes:
        status: exit status of the command that raises it.
    """

    status = 1


class RowsChangedError(WellfitError):
    """New rows are not as the training rows were, and ``--fail-on-drift`` asked for a failure."""

    status = 3


class BadFilesError(WellfitError):
    """Some of many files cannot be read.

    Attributes:
        files: the name of each, and what is wrong with it.
    """

    def __init__(self, message: str, files: Sequence[tuple[str, str]]) -> None:
        super().__init__(message)
        self.files = tuple(files)


def one_line(error: Exception) -> str:
    """What an error says, in one line; of a database's error its own words, without the SQL."""
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    return shortened(text) if text and not isinstance(error, WellfitError) else text or type(error).__name__


def shortened(text: str) -> str:
    """The beginning of a text that is not ours, in whole words."""
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(maxsplit=1)[0] + " ..."


def without_secrets(text: str) -> str:
    """A text whose addresses have ``***`` where a password or a token stands.

    A password may hold any character but blanks and quotes: up to the last ``@`` all of it is hidden.
    """
    text = re.sub(r"(://[^\s/:@]*):[^\s'\"]*@", r"\1:***@", text)
    text = re.sub(r"(https?://)[^\s/:@]+@", r"\1***@", text)  # a token in the place of the user
    return re.sub(r"(?i)([?&](?:password|passwd|pwd|token|secret)=)[^&\s'\"]+", r"\1***", text)

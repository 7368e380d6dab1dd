"""The limits of MLflow's stores: what every store takes, as MLflow's documentation guarantees it.

A SQLite store takes more without a word, and a server with PostgreSQL then refuses the whole request.
"""

import hashlib
from collections.abc import Mapping

KEY = 250  # characters of the name of a param, metric, tag or run
PARAM, TEXT = 6000, 5000  # characters of a param; of a tag or a description
PARAMS, ENTITIES = 100, 1000  # a request; params count among the entities


def shortened(text: str, longest: int = TEXT) -> str:
    """A text that every store takes; where it had to be cut, its end says how much is missing.

    Args:
        text: PostgreSQL takes no NUL in it, in the place of which U+FFFD stands.
        longest: in characters.
    """
    text = text.replace("\0", "\ufffd")
    if len(text) <= longest:
        return text
    kept = text[: longest - 40]
    return f"{kept} [... {len(text) - len(kept):,} more characters]"


def short_key(key: str) -> str:
    """A name that every store takes; two long names that begin alike stay two."""
    if len(key) <= KEY:
        return key
    return f"{key[: KEY - 9]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def short_tags(tags: Mapping[str, object] | None) -> dict[str, str]:
    """Tags that every store takes."""
    return {short_key(key): shortened(str(value)) for key, value in (tags or {}).items()}

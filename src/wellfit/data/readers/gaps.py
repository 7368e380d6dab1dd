"""Words that stand for a missing value in a column of numbers or dates, and are categories in any other column."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

# In any case, without blanks around them.
MARKS = (
    *(
        "",
        "-",
        "--",
        "---",
        "\u2013",
        "\u2014",
        ".",
        "..",
        "...",
        "*",
        "**",
        "?",
        "??",
        "_",
        "/",
        "\\",
        ":",
        "\\n",
    ),
    *(
        "na",
        "n/a",
        "n.a.",
        "n.a",
        "#n/a",
        "#na",
        "#n/a n/a",
        "<na>",
        "n\\a",
        "n/a.",
        "(n/a)",
        "n / a",
        "na.",
        "n.d.",
        "nd",
    ),
    *("nan", "-nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "nat", "nil", "null", "(null)", "[null]", "<null>"),
    *("\\null", "none", "(none)", "<none>", "undefined", "undef", "void", "empty", "(empty)", "<empty>", "blank"),
    *("(blank)", "unknown", "(unknown)", "unk", "unknwn", "missing", "(missing)", "<missing>", "not available"),
    *("not applicable", "not known", "not specified", "not given", "not reported", "not recorded", "unspecified"),
    *("no data", "no value", "no info", "no information", "no answer", "tbd", "tba", "n.k.", "n/k", "nk"),
    *("#div/0!", "#value!", "#ref!", "#num!", "#name?", "#null!", "#error!", "error", "err"),
    *("0000-00-00", "0000-00-00 00:00:00", "00/00/0000", "00-00-0000", "00.00.0000"),
)


def find_gaps(distinct: pa.Array) -> list[str]:
    """Those of the different cells of a column that are such words, as they stand."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = pc.utf8_lower(pc.utf8_trim_whitespace(distinct))
    found: list[str] = distinct.filter(pc.is_in(plain, value_set=pa.array(MARKS))).to_pylist()
    return found


def gaps_in_words(gaps: dict[str, int]) -> str:
    """What is told of a column: its words for a missing value, and how many cells have one."""
    cells = sum(gaps.values())
    verb = "count" if len(gaps) > 1 else "counts"
    return f"{listed(list(gaps))} in {cells:,} {'cells' if cells > 1 else 'cell'} {verb} as missing" if gaps else ""


def listed(words: list[str]) -> str:
    """The first five words, each in quotes; at least one."""
    named = [*map(repr, words[:5])] + ([f"{len(words) - 5} others"] if len(words) > 5 else [])
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))

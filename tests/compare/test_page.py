import pytest

from wellfit.compare.page import code, markdown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("dropout 0.4", "dropout 0.4"),
        ("a|b", r"a\|b"),
        ("$x$ & <b>", "<span>$</span>x<span>$</span> &amp; &lt;b&gt;"),
        ("[a](b)", "&#91;a&#93;(b)"),
        ("*a* _b_ `c` ~d~ \\", r"\*a\* \_b\_ \`c\` \~d\~ " + "\\\\"),
        ("two\nlines\tand  more ", "two lines and more"),
    ],
)
def test_names_are_shown_literally(text: str, shown: str) -> None:
    assert markdown(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.4, "`0.4`"),
        (None, "`null`"),
        ([128, 128], "`[128, 128]`"),
        ("relu", "`relu`"),
        ("a|b", r"`a\|b`"),
        ("a`b", r"a\`b"),
        ("", ""),
    ],
)
def test_values_are_code(value: object, shown: str) -> None:
    assert code(value) == shown

"""What can come of a fault."""

EQUAL, ONE_LINE, NO_EFFECT, SKIPPED, FAILED = "as without it", "one line", "no effect", "skipped", "FAILED"


class Broken(AssertionError):  # noqa: N818
    """What the product did that it must not do."""

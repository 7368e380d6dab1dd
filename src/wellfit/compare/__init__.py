"""Named comparisons: variants of a training over several seeds, side by side."""

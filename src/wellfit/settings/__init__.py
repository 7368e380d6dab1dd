"""``params.yaml``: read, composed of the sections that stand beside the code they configure, checked."""

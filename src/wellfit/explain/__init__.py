"""What predictions depend on: columns, their values, and the parts of an image, by a model's outputs alone."""

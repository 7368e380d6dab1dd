"""Augmentation: training images changed at random, in whole batches on their device."""

"""A mixture as numbers, evaluated on rows no larger than a chunk. Torch only, pure functions."""

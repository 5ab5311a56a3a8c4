"""Mixtures in files: the folder that `save_pretrained` writes, checkpoints of the reference."""

"""Activations in files that other programs wrote, opened where they lie."""

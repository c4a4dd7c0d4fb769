"""Losses, metrics, the loop, checkpoints."""

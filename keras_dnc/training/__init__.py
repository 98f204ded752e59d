"""Losses, metrics and optimizers for training memory networks."""

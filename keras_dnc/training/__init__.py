"""Losses and metrics for training memory networks."""

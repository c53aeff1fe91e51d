"""Metrics as pure functions: NumPy arrays or lists of qualities in, plain numbers out."""

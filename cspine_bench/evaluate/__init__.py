"""Evaluation: dataset folders in, a result with its rows and its page out."""

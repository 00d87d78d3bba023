"""The dataset folder: write, index, read and verify it."""

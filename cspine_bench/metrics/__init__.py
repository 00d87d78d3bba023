"""Figures of merit: pure functions on arrays, every argument by keyword."""

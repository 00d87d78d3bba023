"""Vertebra levels, the 23 landmarks, label ids, alignment parameters and curvature classes."""

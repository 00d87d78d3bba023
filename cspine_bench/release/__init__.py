"""Releases: a dataset folder plus its papers, built, validated, compared and published."""

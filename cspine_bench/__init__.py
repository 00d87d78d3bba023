"""Publish, check and use synthetic lateral cervical-spine radiographs."""

__version__ = "0.1.0"

"""The papers of a release, each a pure function of its edition."""

"""Made-up readers: for teaching, for tests of an analysis whose truth is known, and for planning."""

"""The page of a baseline: verdicts, learning curves, differences, and what single radiographs show."""

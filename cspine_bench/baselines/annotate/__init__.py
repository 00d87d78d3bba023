"""Labels by trained models: measured, judged, written into a new dataset, and compared with labels that were there."""

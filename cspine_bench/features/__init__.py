"""Image encoders by name: radiographs in, feature vectors out, with what a distance between features must state."""

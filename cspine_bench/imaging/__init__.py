"""Pixels with their landmarks: reading, fitting, encoding, drawing."""

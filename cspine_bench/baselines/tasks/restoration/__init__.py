"""What a radiograph was before: more pixels, or no bone."""

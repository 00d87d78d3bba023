"""Which artefact a radiograph has, and how much it harms."""

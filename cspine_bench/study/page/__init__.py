"""Pages and papers of the reader study: its result, its power, its methods paragraph and its GRRAS checklist."""

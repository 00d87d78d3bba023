"""Where the 23 landmarks lie: heat maps, or coordinates by regression."""

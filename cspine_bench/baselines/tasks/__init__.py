"""The downstream tasks: a folder each, with its recipe, its network, its targets and its scores."""

"""One page for a reviewer who reads nothing else: every result of a project, from the result files alone."""

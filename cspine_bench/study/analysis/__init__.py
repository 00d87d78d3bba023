"""The analysis of a reader study: from answers, or from the tables of somebody else's study, to a verdict."""

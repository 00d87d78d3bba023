"""Which pixels belong to which vertebra."""

"""The study's memory: an append-only chain of records; links, answers, progress and unblinding on top of it."""

"""Usefulness of data: downstream tasks under one protocol, labels by a teacher, and a leaderboard."""

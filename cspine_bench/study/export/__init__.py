"""What a study gives away: answers as tables, for people, for other programs, and for our own analysis."""

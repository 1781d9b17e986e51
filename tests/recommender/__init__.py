"""The recommender against its oracle, its boundaries, and its file."""

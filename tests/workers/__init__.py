"""Everything behind the 202, on the real servers."""

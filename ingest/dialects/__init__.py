"""Wire formats. Each file turns one format's bytes into canonical events."""

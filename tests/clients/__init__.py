"""Real clients against a running server: official SDKs, and what others are known to send."""

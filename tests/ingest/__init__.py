"""Tests of the accept path: bytes in, Redis, 202."""

"""Bytes in, Redis, 202: everything a browser or a server posts events to."""

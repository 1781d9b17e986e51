"""Postgres to figures and pages: verify, status, metrics."""

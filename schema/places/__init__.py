"""Continents and countries as CSV files, and the script that makes them. README.md says from what."""

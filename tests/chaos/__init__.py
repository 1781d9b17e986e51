"""Faults on real servers: traffic, a nemesis, and a checker that knows what was promised."""

"""Tests of the front door: servers, supervisor, command line."""

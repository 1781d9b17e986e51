"""The shape of data, in flight and at rest."""

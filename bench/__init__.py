"""`make bench`: the figures the design is held to, each beside its reference in the same run."""

"""The shape of data, in flight and at rest. Imported by every room, imports none of ours."""

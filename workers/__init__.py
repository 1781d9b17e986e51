"""All that runs without a request: drain, rollups, upkeep, clock."""

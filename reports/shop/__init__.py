"""The demo shop: trips to look for, tracked by the tracker, with demo data only."""

"""One request, ten trips. Empty until the recommendation system lands."""

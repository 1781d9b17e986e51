"""What a trip must be when too few were found: the wider limits. In: preferences. Out: Limits. Each trip found this way
loses points for it, and more when it is of another type.
"""

from __future__ import annotations

from datetime import date

from recommender import filters
from recommender.columns import Places
from recommender.filters import Limits
from recommender.policy import Weights
from recommender.preferences import Preferences


def relaxed(preferences: Preferences, places: Places, today: date, until: int, weights: Weights) -> Limits:
    """Whole continents instead of countries, any type, more difficulties, dearer, months before and after."""
    asked = filters.primary(preferences, today, until, weights)
    return asked._replace(
        continents=asked.continents | places.continents_of(preferences.selected_countries),
        type_id=None,
        difficulty=filters.difficulty(preferences, weights.relaxed_difficulty_reach),
        price_max=filters.price_max(preferences, weights.relaxed_price_max_percent),
        windows=filters.windows(preferences, today, until, weights.relaxed_months),
        is_relaxed=True,
    )

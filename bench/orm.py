"""The plain design: an ORM query with eager loading of all candidates, scored as Python objects.

In: the same rows, in Postgres; the same limits. Out: how many pass, and the scores of the best, which must be the
engine's. Written as a competent user would: hard filters in SQL, what belongs to a template loaded with it by
`selectinload`, no reasons made.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import Enum, ForeignKey, Select, and_, exists, or_, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, joinedload, mapped_column, relationship

from recommender.columns import day
from recommender.filters import Limits
from recommender.policy import WEIGHTS as W
from recommender.preferences import Preferences
from recommender.trips import STATUSES


class Base(DeclarativeBase):
    """All tables."""


class Country(Base):
    """Where."""

    __tablename__ = "countries"
    country: Mapped[str] = mapped_column(primary_key=True)
    continent: Mapped[str]


class MoreCountry(Base):
    """A template's countries besides the primary one."""

    __tablename__ = "trip_template_countries"
    template_id: Mapped[int] = mapped_column(ForeignKey("trip_templates.template_id"), primary_key=True)
    code: Mapped[str] = mapped_column("country", ForeignKey("countries.country"), primary_key=True)
    place: Mapped[Country] = relationship(lazy="joined")


class Tag(Base):
    """A template's themes."""

    __tablename__ = "trip_template_tags"
    template_id: Mapped[int] = mapped_column(ForeignKey("trip_templates.template_id"), primary_key=True)
    tag_id: Mapped[int] = mapped_column(primary_key=True)


class Template(Base):
    """The "what"."""

    __tablename__ = "trip_templates"
    template_id: Mapped[int] = mapped_column(primary_key=True)
    type_id: Mapped[int]
    primary_country: Mapped[str] = mapped_column(ForeignKey("countries.country"))
    difficulty: Mapped[int]
    duration_days: Mapped[int]
    place: Mapped[Country] = relationship()
    more: Mapped[list[MoreCountry]] = relationship()
    tags: Mapped[list[Tag]] = relationship()

    @property
    def places(self) -> list[Country]:
        return [self.place, *(one.place for one in self.more)]


class Occurrence(Base):
    """The "when"."""

    __tablename__ = "trip_occurrences"
    occurrence_id: Mapped[int] = mapped_column(primary_key=True)
    template_id: Mapped[int] = mapped_column(ForeignKey("trip_templates.template_id"))
    starts_on: Mapped[date]
    price: Mapped[Decimal]
    status: Mapped[str] = mapped_column(Enum(*STATUSES, name="trip_status"))
    template: Mapped[Template] = relationship()


def search(
    session: Session, asked: Preferences, limits: Limits, today: date, without: set[int]
) -> list[tuple[int, date, int]]:
    """(score negated, start, id) of every candidate, best first."""
    loaded = joinedload(Occurrence.template)
    statement = _candidates(limits).options(
        loaded.joinedload(Template.place), loaded.selectinload(Template.more), loaded.selectinload(Template.tags)
    )
    found: Sequence[Occurrence] = session.scalars(statement).unique().all()
    scored = [(-_score(one, asked, limits, today), one.starts_on, one.occurrence_id) for one in found]
    return sorted(one for one in scored if one[2] not in without)


def _candidates(limits: Limits) -> Select[Occurrence]:
    windows = [Occurrence.starts_on.between(day(first), day(last)) for first, last in limits.windows]
    kept: list[Any] = [or_(False, *windows), Occurrence.status.in_(STATUSES[:3])]
    if limits.countries is not None:
        wanted = or_(Country.country.in_(limits.countries), Country.continent.in_(limits.continents))
        also = and_(MoreCountry.template_id == Template.template_id, MoreCountry.code == Country.country, wanted)
        kept.append(
            or_(exists().where(and_(Country.country == Template.primary_country, wanted)), exists().where(also))
        )
    if limits.type_id is not None:
        kept.append(Template.type_id == limits.type_id)
    if limits.difficulty:
        kept.append(Template.difficulty.between(*limits.difficulty))
    if limits.price_max is not None:
        kept.append(Occurrence.price <= Decimal(limits.price_max) / 100)
    return select(Occurrence).join(Template).where(*kept)


def _score(one: Occurrence, asked: Preferences, limits: Limits, today: date) -> int:
    of = one.template
    score = W.base + _fit(of, asked) + {"Guaranteed": W.guaranteed, "Last Places": W.last_places}.get(one.status, 0)
    if asked.budget is not None:
        bands = ((100, W.price_within), (W.price_close_percent, W.price_close), (W.price_above_percent, W.price_above))
        score += next((points for percent, points in bands if one.price * 100 <= asked.budget * percent), 0)
    if one.starts_on <= today + timedelta(days=W.soon_days):
        score += W.soon
    if any(place.country in asked.selected_countries for place in of.places):
        score += W.country
    elif limits.countries is not None and any(place.continent in limits.continents for place in of.places):
        score += W.continent
    if limits.is_relaxed:
        score += W.relaxed + (W.relaxed_type if asked.preferred_type_id not in (None, of.type_id) else 0)
    return score


def _fit(of: Template, asked: Preferences) -> int:
    score = 0
    if asked.preferred_theme_ids:
        shared = len({tag.tag_id for tag in of.tags} & set(asked.preferred_theme_ids))
        score += (W.themes_none, W.themes_one, W.themes_several)[min(shared, 2)]
    if of.difficulty == asked.difficulty:
        score += W.difficulty_exact
    if asked.min_duration or asked.max_duration:
        off = max((asked.min_duration or 0) - of.duration_days, of.duration_days - (asked.max_duration or 999), 0)
        score += W.duration_within if off == 0 else W.duration_near if off <= W.duration_near_days else 0
    return score

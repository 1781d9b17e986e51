"""What the demo catalogue is made of: kinds, themes, destinations, names and phrases. In: nothing. Out: tables.

Texts are (English, Hebrew); {en} and {he} stand for the country's name.
"""

from __future__ import annotations

from typing import NamedTuple

Text = tuple[str, str]


class Kind(NamedTuple):
    """A trip type. `price` is its factor; `days` the range of durations; `themes` those that fit."""

    code: str
    name: Text
    price: float
    days: tuple[int, int]
    themes: tuple[str, ...]
    titles: tuple[Text, ...]


class Region(NamedTuple):
    """Countries that are visited together: (code, weight). Prices: a day there, and the way there and back."""

    day: int
    way: int
    countries: tuple[tuple[str, int], ...]


TAGS: dict[str, Text] = {
    "adventure": ("Adventure", "הרפתקאות"),
    "art": ("Art & Architecture", "אמנות ואדריכלות"),
    "beaches": ("Beaches", "חופים"),
    "christmas": ("Winter Markets", "שווקי חורף"),
    "culinary": ("Culinary", "קולינריה"),
    "culture": ("Culture", "תרבות"),
    "desert": ("Desert", "מדבר"),
    "extreme": ("Extreme", "אקסטרים"),
    "festivals": ("Festivals", "פסטיבלים"),
    "history": ("History", "היסטוריה"),
    "islands": ("Islands", "איים"),
    "jewish": ("Jewish Heritage", "מורשת יהודית"),
    "mountains": ("Mountains", "הרים"),
    "nature": ("Nature", "טבע"),
    "off_road": ("Off-road", "שטח"),
    "photography": ("Photography", "צילום"),
    "spiritual": ("Spirituality", "רוחניות"),
    "wellness": ("Wellness", "בריאות ונפש"),
    "wildlife": ("Wildlife", "חיות בר"),
    "wine": ("Wine", "יין"),
}

KINDS = (
    Kind(
        "geographic_depth",
        ("Geographic Depth", "טיול עומק גאוגרפי"),
        1.0,
        (8, 18),
        ("culture", "history", "nature", "jewish", "mountains", "photography"),
        (
            ("{en} in depth", "{he} לעומק"),
            ("The great journey to {en}", "המסע הגדול אל {he}"),
            ("Faces of {en}", "הפנים של {he}"),
        ),
    ),
    Kind(
        "trekking",
        ("Trekking", "טרקים"),
        0.85,
        (6, 16),
        ("mountains", "nature", "adventure", "photography", "extreme"),
        (
            ("High trails of {en}", "שבילי הפסגות: {he}"),
            ("Trekking in {en}", "טרק: {he}"),
            ("{en} on foot", "{he} ברגל"),
        ),
    ),
    Kind(
        "jeep",
        ("Jeep Tours", "טיולי ג׳יפים"),
        1.2,
        (6, 12),
        ("off_road", "adventure", "desert", "nature", "mountains"),
        (("{en} by jeep", "{he} בג׳יפים"), ("Off-road across {en}", "מסע שטח: {he}")),
    ),
    Kind(
        "cruise",
        ("Cruises", "שיט"),
        1.35,
        (5, 14),
        ("islands", "beaches", "wildlife", "culinary", "nature"),
        (("Sailing along {en}", "שיט לאורך {he}"), ("{en} from the water", "{he} מן המים")),
    ),
    Kind(
        "photography",
        ("Photography Tours", "טיולי צילום"),
        1.3,
        (6, 13),
        ("photography", "nature", "wildlife", "culture"),
        (("{en} through the lens", "{he} דרך העדשה"), ("Light of {en}", "האור של {he}")),
    ),
    Kind(
        "family",
        ("Family Tours", "טיולי משפחות"),
        0.9,
        (5, 12),
        ("nature", "beaches", "adventure", "wildlife", "culture"),
        (("{en} with the family", "{he} עם כל המשפחה"), ("Family adventure: {en}", "הרפתקה משפחתית: {he}")),
    ),
    Kind(
        "culinary",
        ("Culinary Tours", "טיולי קולינריה"),
        1.25,
        (4, 9),
        ("culinary", "wine", "culture", "festivals"),
        (("Tastes of {en}", "הטעמים של {he}"), ("{en} at the table", "{he} סביב השולחן")),
    ),
    Kind(
        "nature_safari",
        ("Nature & Safari", "טבע וספארי"),
        1.3,
        (7, 14),
        ("wildlife", "nature", "photography", "adventure"),
        (("Wild {en}", "{he} הפראית"), ("Safari and nature: {en}", "ספארי וטבע: {he}")),
    ),
    Kind(
        "cycling",
        ("Cycling", "טיולי אופניים"),
        0.95,
        (5, 10),
        ("nature", "adventure", "wine", "mountains", "islands"),
        (("{en} by bike", "{he} על אופניים"), ("Pedalling through {en}", "בדיווש: {he}")),
    ),
    Kind(
        "winter",
        ("Winter & Ski", "חורף וסקי"),
        1.15,
        (4, 9),
        ("mountains", "extreme", "christmas", "wellness", "nature"),
        (("Winter in {en}", "חורף: {he}"), ("Snow and stars: {en}", "שלג וכוכבים: {he}")),
    ),
    Kind(
        "rail",
        ("Rail Journeys", "מסעות רכבת"),
        1.1,
        (6, 14),
        ("culture", "history", "nature", "photography"),
        (("{en} by train", "{he} ברכבת"), ("Rails across {en}", "על הפסים: {he}")),
    ),
    Kind(
        "spiritual",
        ("Spiritual Journeys", "מסעות רוחניים"),
        0.95,
        (6, 14),
        ("spiritual", "wellness", "culture", "art", "festivals"),
        (("Silence and prayer: {en}", "שקט ותפילה: {he}"), ("An inner journey to {en}", "מסע פנימה: {he}")),
    ),
)

REGIONS = (
    Region(185, 420, (("IT", 9), ("CH", 4), ("AT", 4), ("SI", 3), ("FR", 6))),
    Region(165, 450, (("ES", 6), ("PT", 6))),
    Region(145, 330, (("GR", 8), ("CY", 3), ("AL", 2), ("MK", 1), ("BG", 3), ("RO", 4))),
    Region(140, 380, (("HR", 3), ("ME", 3), ("BA", 2), ("RS", 2))),
    Region(150, 420, (("PL", 4), ("CZ", 4), ("HU", 3), ("SK", 1))),
    Region(240, 620, (("NO", 5), ("IS", 6), ("FI", 4), ("SE", 2), ("DK", 1))),
    Region(205, 560, (("GB", 5), ("IE", 3))),
    Region(180, 480, (("DE", 4), ("NL", 2), ("BE", 1))),
    Region(115, 380, (("GE", 9), ("AM", 4), ("AZ", 2))),
    Region(130, 620, (("KZ", 2), ("KG", 4), ("UZ", 5), ("MN", 3))),
    Region(135, 950, (("VN", 7), ("KH", 3), ("LA", 3), ("TH", 6))),
    Region(140, 820, (("IN", 7), ("NP", 6), ("LK", 4), ("BT", 2))),
    Region(260, 1150, (("JP", 8), ("KR", 3))),
    Region(190, 980, (("CN", 4), ("TW", 2))),
    Region(150, 1050, (("ID", 3), ("PH", 3), ("MY", 2))),
    Region(150, 260, (("JO", 3), ("EG", 3), ("TR", 3))),
    Region(185, 520, (("MA", 6), ("TN", 1))),
    Region(290, 900, (("TZ", 6), ("KE", 4), ("UG", 3), ("RW", 2))),
    Region(240, 980, (("ZA", 4), ("NA", 5), ("BW", 3), ("ZW", 2))),
    Region(200, 780, (("ET", 4), ("MG", 3))),
    Region(285, 1200, (("US", 6), ("CA", 4))),
    Region(215, 1250, (("MX", 4), ("GT", 3), ("CR", 5), ("PA", 1), ("CU", 2))),
    Region(225, 1450, (("PE", 6), ("BO", 3), ("EC", 4), ("CO", 3))),
    Region(250, 1550, (("AR", 5), ("CL", 4), ("BR", 3))),
    Region(280, 1700, (("NZ", 5), ("AU", 4))),
    Region(310, 1900, (("PF", 1), ("FJ", 1))),
    Region(780, 2400, (("AQ", 2), ("GS", 1))),
)

FIRST_NAMES: tuple[Text, ...] = (
    ("Noa", "נועה"), ("Yael", "יעל"), ("Tamar", "תמר"), ("Michal", "מיכל"), ("Shira", "שירה"), ("Avital", "אביטל"),
    ("Ruth", "רות"), ("Daniel", "דניאל"), ("Yoav", "יואב"), ("Eitan", "איתן"), ("Amir", "אמיר"), ("Oren", "אורן"),
    ("Gilad", "גלעד"), ("Uri", "אורי"), ("Ronen", "רונן"),
)  # fmt: skip
LAST_NAMES: tuple[Text, ...] = (
    ("Levi", "לוי"), ("Cohen", "כהן"), ("Mizrahi", "מזרחי"), ("Peretz", "פרץ"), ("Shapira", "שפירא"),
    ("Barak", "ברק"), ("Golan", "גולן"), ("Harari", "הררי"), ("Rosen", "רוזן"), ("Dagan", "דגן"), ("Sela", "סלע"),
)  # fmt: skip
COMPANIES = tuple(
    f"{first} {second}"
    for first in ("Meridian", "Wayfarer", "Blue Ridge", "Caravan", "Northstar", "Olive Tree")
    for second in ("Journeys", "Expeditions", "Travel", "Tours", "Trails")
)

OPENINGS: tuple[Text, ...] = (
    ("{days} days in {en}, in a small group.", "{days} ימים: {he}, בקבוצה קטנה."),
    ("We cross {en} in {days} days, at an easy pace.", "{days} ימי מסע, בקצב נעים. היעד: {he}."),
    ("{days} days that show {en} as its people know it.", "{days} ימים בעקבות המקומיים. היעד: {he}."),
)
PARTS: dict[str, Text] = {
    "adventure": ("Something new to dare every day.", "בכל יום אתגר חדש."),
    "art": ("Studios, museums and houses worth a detour.", "סדנאות, מוזאונים ובתים ששווים סטייה מהדרך."),
    "beaches": ("Free hours on quiet beaches.", "שעות חופשיות בחופים שקטים."),
    "christmas": ("Evenings at the winter markets.", "ערבים בשווקי החורף."),
    "culinary": ("Markets, kitchens and a meal with a family.", "שווקים, מטבחים וארוחה אצל משפחה."),
    "culture": ("Music, crafts and long conversations.", "מוזיקה, מלאכות ושיחות ארוכות."),
    "desert": ("A night under the stars of the desert.", "לילה תחת כוכבי המדבר."),
    "extreme": ("For those who like it steep.", "למי שאוהב תלול."),
    "festivals": ("We come when there is a feast.", "מגיעים בזמן חגיגה."),
    "history": ("A historian walks with us.", "היסטוריון מלווה אותנו."),
    "islands": ("From island to island by boat.", "מאי לאי בסירה."),
    "jewish": ("Synagogues, quarters and the stories of communities.", "בתי כנסת, רבעים וסיפורי קהילות."),
    "mountains": ("Passes and summits with wide views.", "מעברי הרים ופסגות עם נוף פתוח."),
    "nature": ("Reserves, rivers and forests.", "שמורות, נהרות ויערות."),
    "off_road": ("Tracks that no bus has seen.", "דרכי עפר שאוטובוס לא ראה."),
    "photography": ("On the spot at first and last light.", "בשטח באור ראשון ואחרון."),
    "spiritual": ("Temples, and time to be still.", "מקדשים, וזמן לשקט."),
    "wellness": ("Hot springs and slow mornings.", "מעיינות חמים ובקרים איטיים."),
    "wildlife": ("Early drives to where the animals are.", "יציאות מוקדמות אל בעלי החיים."),
    "wine": ("Cellars and vineyards, with tastings.", "יקבים וכרמים, עם טעימות."),
}

"""What a user agent is, by the kept lists: people's browsers, bots with a reason, and senders, who are neither."""

from __future__ import annotations

import pytest

from tests.make import canonical
from tests.workers.pipeline import ROBOT, Pipeline
from workers.agents import Verdict, classify, outdated, rules

MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
BLINK = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0"
TABLET = f"Mozilla/5.0 (Linux; Android 13; SM-X700) {BLINK} Safari/537.36"

PEOPLE = [
    (f"{WINDOWS} {BLINK} Safari/537.36", "Chrome", "Windows", "desktop"),
    (f"{WINDOWS} {BLINK} Safari/537.36 Edg/124.0.0.0", "Edge", "Windows", "desktop"),
    (f"{WINDOWS} {BLINK} YaBrowser/24.4.0 Safari/537.36", "Yandex Browser", "Windows", "desktop"),
    ("Mozilla/5.0 (Windows NT 6.1; Trident/7.0; rv:11.0) like Gecko", "IE", "Windows", "desktop"),
    (f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4.1 Safari/605.1.15", "Safari", "Mac OS X", "desktop"),
    ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:125.0) Gecko/20100101 Firefox/125.0", "Firefox", "Ubuntu", "desktop"),
    (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {BLINK} Safari/537.36", "Chrome", "Chrome OS", "desktop"),
    (f"{IPHONE} Version/17.4 Mobile/15E148 Safari/604.1", "Mobile Safari", "iOS", "mobile"),
    (f"{IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/457.0.0.33;FBDV/iPhone14,2;FBID/phone]", "Facebook", "iOS", "mobile"),
    (f"{IPHONE} Mobile/21E219 [Pinterest/iOS]", "Pinterest", "iOS", "mobile"),
    (f"{IPHONE} GSA/312.0.626459431 Mobile/15E148 Safari/604.1", "Google", "iOS", "mobile"),
    (f"Mozilla/5.0 (Linux; Android 10; K) {BLINK} Mobile Safari/537.36", "Chrome Mobile", "Android", "mobile"),
    (f"Mozilla/5.0 (Linux; Android 9; CUBOT_X18) {BLINK} Mobile Safari/537.36", "Chrome Mobile", "Android", "mobile"),
    ("Opera/9.80 (Android; Opera Mini/36.2; U; id) Presto/2.12.423 Version/12.16", "Opera Mini", "Android", "mobile"),
    ("Mozilla/5.0 (Android 14; Mobile; rv:125.0) Gecko/125.0 Firefox/125.0", "Firefox Mobile", "Android", "mobile"),
    ("Dalvik/2.1.0 (Linux; U; Android 13; Pixel 7 Build/TQ3A.230901.001)", "Android", "Android", "mobile"),
    ("OurApp/1.0 CFNetwork/1494.0.7 Darwin/23.4.0", "OurApp", "iOS", "mobile"),
    (TABLET, "Chrome", "Android", "tablet"),
    ("Mozilla/5.0 (Android 13; Tablet; rv:125.0) Gecko/125.0 Firefox/125.0", "Firefox Mobile", "Android", "tablet"),
    ("Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.6 Mobile/15E148"
     " Safari/604.1", "Mobile Safari", "iOS", "tablet"),
    ("Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) AppleWebKit/538.1 (KHTML, like Gecko) Version/6.0 TV Safari/538.1",
     "Safari", "Tizen", None),
]  # fmt: skip

BOTS = [
    (ROBOT, "search-engine: Googlebot"),
    (f"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) {BLINK} Mobile Safari/537.36 (compatible; Googlebot/2.1;"
     " +http://www.google.com/bot.html)", "search-engine: Googlebot"),
    ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "search-engine: bingbot"),
    ("Mozilla/5.0 (compatible; YandexBot/3.0; +http://yandex.com/bots)", "search-engine: YandexBot"),
    ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "seo: AhrefsBot"),
    ("Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko); compatible; GPTBot/1.2; +https://openai.com/gptbot",
     "ai-crawler: GPTBot"),
    ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "social-preview: FacebookBot"),
    ("WhatsApp/2.23.20.0 A", "social-preview: WhatsApp"),
    ("Mozilla/5.0+(compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", "monitoring: UptimeRobot"),
    (f"{MAC} {BLINK} Safari/537.36 Chrome-Lighthouse", "monitoring: Chrome-Lighthouse"),
    ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
     "browser-automation: HeadlessChrome"),
    ("Scrapy/2.11.0 (+https://scrapy.org)", "spider: Scrapy"),
    ("NewestCrawler/0.1", "spider: NewestCrawler"),
]  # fmt: skip

SENDERS = """
    python-requests/2.31.0|python-httpx/0.28.1|Python/3.12 aiohttp/3.9.5|Python-urllib/3.12|python-urllib3/2.2.1
    analytics-python/2.4.0|rudderstack-python/2.1.9|posthog-python/7.91.1|analytics-node/6.2.0|posthog-node/5.70.0
    axios/1.7.2|node|node-fetch|undici|got (https://github.com/sindresorhus/got)|Deno/1.44.0|Bun/1.1.8
    okhttp/4.12.0|Java/17.0.1|Java-http-client/21.0.2|Apache-HttpClient/4.5.13 (Java/11.0.20)|Dart/3.4 (dart:io)
    Go-http-client/2.0|curl/8.5.0|Wget/1.21.4|HTTPie/3.2.2|Ruby|Faraday v2.9.0|GuzzleHttp/7|Symfony HttpClient/Curl
    WordPress/6.4; https://example.org|Amazon CloudFront|tripstream-replay
"""


@pytest.mark.parametrize(("user_agent", "browser", "system", "device"), PEOPLE)
def test_people_have_a_browser_a_system_and_a_device(
    user_agent: str, browser: str, system: str, device: str | None
) -> None:
    assert classify(user_agent) == Verdict(browser, system, device, None)


@pytest.mark.parametrize(("user_agent", "reason"), BOTS)
def test_bots_have_a_reason(user_agent: str, reason: str) -> None:
    assert classify(user_agent).bot_reason == reason


@pytest.mark.parametrize(
    "user_agent", [one.strip() for line in SENDERS.strip().splitlines() for one in line.split("|")]
)
def test_who_sends_on_behalf_of_visitors_is_no_bot_and_says_nothing_about_them(user_agent: str) -> None:
    assert classify(user_agent) == Verdict()


@pytest.mark.parametrize("user_agent", ["", " ", "\u05d0\t\\.", "Mozilla/5.0", "x" * 8000, "(" * 3000])
def test_whatever_is_sent_for_a_user_agent_is_no_bot(user_agent: str) -> None:
    assert classify(user_agent) == Verdict()


def test_a_verdict_is_kept_with_the_rules_that_gave_it(pipe: Pipeline) -> None:
    pipe.send(canonical(), user_agent=TABLET)
    query = "SELECT browser, os, device_type, is_bot, bot_reason, rules_version FROM user_agents"
    assert pipe.row(query) == ("Chrome", "Android", "tablet", False, None, rules())
    assert "crawler-user-agents" in rules()
    assert outdated(pipe.connection) == 0
    pipe.connection.execute("UPDATE user_agents SET rules_version = NULL")
    assert outdated(pipe.connection) == 1


def test_a_device_comes_from_the_agent_only_where_the_client_sent_none(pipe: Pipeline) -> None:
    sent = [("fridge", TABLET), (None, TABLET), ("", TABLET), (None, "curl/8"), (None, None)]
    pipe.send(*(canonical(n, device_type=device, user_agent=agent) for n, (device, agent) in enumerate(sent)))
    found = pipe.rows("SELECT device_type FROM readable_events ORDER BY event_id")
    assert [device for (device,) in found] == ["fridge", "tablet", "tablet", None, None]
    assert pipe.problems() == []


def test_a_session_runs_on_the_device_of_its_first_event_that_has_one(pipe: Pipeline) -> None:
    pipe.send(canonical(1, user_agent="curl/8"), canonical(2), site_id="default", user_agent=TABLET)
    assert pipe.value("SELECT device_type FROM readable_sessions") == "tablet"
    pipe.send(canonical(0, device_type="fridge"))
    assert pipe.value("SELECT device_type FROM readable_sessions") == "fridge"
    pipe.send(canonical(5), site_id="default", user_agent=PEOPLE[0][0])
    assert pipe.problems() == []

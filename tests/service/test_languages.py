"""The machine's page in German and Japanese: every sentence of a monitor is said in them, none in English."""

from __future__ import annotations

import copy
import html
import json
import re
import string
from dataclasses import replace

import numpy as np
from starlette.testclient import TestClient

from monitoring_sound import RATE
from thrum import audio
from thrum.monitoring.sentences import ENGLISH, Sentence, coded, decoded
from thrum.service.config import Settings
from thrum.service.store import people, views
from thrum.service.web import explaining, words
from watched import MACHINE, MakeDashboard, MakeService, Sounds, bring, judge_all

PASSWORD = "correct horse battery"
OTHERS = [language for language in words.LANGUAGES if language != "en"]


def fields(template: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(template) if field}


def test_every_sentence_is_there_in_every_language_with_the_same_values() -> None:
    assert set(words.sentences()) == set(OTHERS)
    for language in OTHERS:
        own = words.sentences()[language]
        assert set(own) == set(ENGLISH)
        for key, template in own.items():
            assert fields(template) == fields(ENGLISH[key]), (language, key)


def test_a_sentence_is_made_again_from_json_and_written_as_its_language_does() -> None:
    said = Sentence("promise", asked=6048.0, clips=60)
    assert "one false alarm in 6,048 clips" in said
    again = decoded(json.loads(json.dumps(coded(said))))
    assert isinstance(again, Sentence)
    assert again == said
    assert "ein Fehlalarm in 6.048 Aufnahmen" in words.translated("de", again)
    assert "6,048" in words.translated("ja", again)
    assert words.translated("en", again) == said
    assert "1,5 bis 2,0 s" in words.translated(
        "de", Sentence("a_moment", begin=1.5, end=2.0, low=1.0, high=2.0)
    )
    assert "gestört (Stumm)" in words.translated("de", Sentence("deaf", name="a", health="silent"))
    other = copy.deepcopy(said)
    assert other == said
    assert other.values == said.values
    assert decoded("what an earlier version wrote") == "what an earlier version wrote"
    assert decoded(["a key of a later version", {}]) == "a key of a later version"


def test_no_english_sentence_is_on_the_page_of_a_machine(
    make_service: MakeService, make_dashboard: MakeDashboard, settings: Settings, sounds: Sounds
) -> None:
    from thrum.service.web.pages import strange
    from thrum.service.web.pages.frame import Visit

    service = make_service(service=replace(settings.service, requests_per_second=1e6))
    paths = sounds("wwffffffff")
    silent = np.zeros(int(1.5 * RATE), np.float32)
    silent[::2] = 1e-5  # a line that hums to itself
    audio.write(paths[0], silent, RATE)
    audio.write(paths[1], audio.read(paths[1])[0][: RATE // 2], RATE)
    bring(service, paths)
    judge_all(service)
    with service.database.writing() as connection:
        people.add(connection, "ada", PASSWORD, "operator", who="Ada", now=1.0)
        judged = [row["clip"] for row in views.judged(connection, MACHINE, 100)]
        clips = [views.clip(connection, number) for number in judged]
        alarm = views.alarms_of(connection)[0]["clip"]
    assert isinstance(explaining.explain(service, alarm), dict)
    with TestClient(make_dashboard(service), base_url="http://plant") as browser:
        browser.post("/login", data={"name": "ada", "password": PASSWORD})

        def page(language: str) -> str:
            answer = browser.get(f"/machine/{MACHINE}", headers={"accept-language": language})
            assert answer.status_code == 200
            visit = Visit(
                service, people.Person("ada", "operator"), words.speaker(language), language
            )
            heads = "".join(strange.clip_head(visit, row) for row in clips if row is not None)
            return html.unescape(html.unescape(answer.text.partition("</head>")[2] + heads))

        english = page("en")
        for sentence in (
            *(
                "one false alarm in 100 clips",
                "What is strange",
                "new tone at",
                "nothing is known of",
            ),
            *("its score may be higher", "normal sound stays as"),
        ):
            assert sentence in english, sentence
        for language in OTHERS:
            shown = page(language)
            for template in ENGLISH.values():
                longest = max((text for text, *_ in string.Formatter().parse(template)), key=len)
                assert len(longest) < 8 or longest not in shown, (language, longest)
            for key, word in words.table()["en"].items():
                if " " in word and word != words.table()[language][key]:
                    longest = max(re.split(r"\{\d\}", word), key=len)
                    assert len(longest) < 8 or longest not in shown, (language, key)

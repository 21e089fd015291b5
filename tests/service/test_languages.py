"""The pages in German and Japanese: what people are told in sentences is said in them, none in English."""

from __future__ import annotations

import ast
import copy
import html
import json
import re
import string
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from monitoring_sound import RATE
from thrum import audio
from thrum import service as service_package
from thrum.errors import StorageError
from thrum.sentences import Sentence, coded, decoded, kept, said, table, told
from thrum.service.config import Settings
from thrum.service.intake import FullError
from thrum.service.store import people, views
from thrum.service.troubles import trouble
from thrum.service.web import explaining, words
from watched import MACHINE, MakeDashboard, MakeService, Sounds, bring, judge_all, look, the_folder

PASSWORD = "correct horse battery"
ENGLISH = table()["en"]
OTHERS = [language for language in words.LANGUAGES if language != "en"]


def fields(template: str) -> set[str]:
    return {field for _, field, _, _ in string.Formatter().parse(template) if field}


def test_every_sentence_is_there_in_every_language_with_the_same_values() -> None:
    assert set(table()) == set(words.LANGUAGES)
    for language in OTHERS:
        own = table()[language]
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


def test_what_is_wrong_with_inputs_and_service_is_said_in_the_language_of_the_page(
    make_service: MakeService, make_dashboard: MakeDashboard, settings: Settings, sounds: Sounds
) -> None:
    service = make_service(service=replace(settings.service, requests_per_second=1e6))
    source = service.inputs["folder"]
    with service.database.writing() as connection:
        people.add(connection, "ada", PASSWORD, "administrator", who="Ada", now=1.0)
    folder = the_folder(service).folder
    with TestClient(make_dashboard(service), base_url="http://plant") as browser:
        browser.post("/login", data={"name": "ada", "password": PASSWORD})

        def require(place: str, sentences: Mapping[str, str]) -> None:
            for language in words.LANGUAGES:
                answer = browser.get(place, headers={"accept-language": language})
                shown = html.unescape(html.unescape(answer.text.partition("</head>")[2]))
                for other, sentence in sentences.items():
                    assert (sentence in shown) == (other == language), (place, other, language)

        audio.write(folder / "hall.wav", np.full(24000, 0.2, np.float32), RATE)
        look(service)
        require(
            "/inputs",
            {
                "en": "100.0 % of samples as the one before",
                "de": "100,0 % der Abtastwerte",
                "ja": "サンプルの 100.0 %",
            },
        )
        (folder / "long.wav").write_bytes(sounds("w")[0].read_bytes())
        service.intake.settings = replace(service.intake.settings, longest_minutes=0.001)
        look(service)
        require(
            "/inputs",
            {
                "en": "long.wav: this recording is 0 minutes long, wanted 0.001",
                "de": "long.wav: diese Aufnahme ist 0 Minuten lang, erlaubt sind 0,001",
                "ja": "long.wav:この録音は 0 分です。0.001 分まで",
            },
        )
        (folder / "torn.wav").write_bytes(sounds("w")[0].read_bytes()[:20044])
        service.intake.settings = replace(service.intake.settings, longest_minutes=60)
        look(service)
        require(
            "/inputs",
            {
                "en": "torn.wav: this recording is cut short: its header announces 28000 bytes more",
                "de": "torn.wav: diese Aufnahme ist abgeschnitten: ihr Kopf kündigt 28000 Bytes mehr an",
                "ja": "torn.wav:この録音:途中で切れています:ヘッダーの値より 28000 バイト足りません",
            },
        )
        audio.write(folder / "low.wav", np.full(12000, 0.2, np.float32), 8000)
        look(service)
        require(
            "/inputs",
            {
                "en": "low.wav: this recording has 8000 samples per second, 16000 were learnt",
                "de": "low.wav: diese Aufnahme hat 8000 Abtastwerte je Sekunde, gelernt wurden 16000",
                "ja": "low.wav:この録音は毎秒 8000 サンプルですが、学習時は 16000 でした",
            },
        )
        (folder / "text.wav").write_text("no sound at all")
        look(service)
        require(
            "/inputs",
            {
                "en": "text.wav: this recording cannot be read as audio (its format is not known)",
                "de": "text.wav: diese Aufnahme ist als Ton nicht zu lesen (das Format ist nicht bekannt)",
                "ja": "text.wav:この録音は音声として読めません(形式が不明)",
            },
        )
        source.lost = trouble(StorageError(Sentence("no_folder", folder="/mnt/x", reason="gone")))
        service.intake.settings = replace(service.intake.settings, least_free_mb=1e12)
        service.keeping.end()
        with pytest.raises(FullError) as full:
            service.keeping.once()
        service.keeping.trouble = trouble(full.value)
        require(
            "/inputs",
            {
                "en": "the folder /mnt/x is not there (gone)",
                "de": "der Ordner /mnt/x ist nicht da (gone)",
                "ja": "フォルダー /mnt/x がありません(gone)",
            },
        )
        require("/", {"en": "make space", "de": "bitte Platz schaffen", "ja": "空きを作れば"})


def test_every_error_that_a_page_shows_is_raised_with_a_sentence() -> None:
    """So that a new one is said in every language, too; what ends the start is said by the console."""
    root = Path(service_package.__path__[0])
    told_by: dict[str, set[str]] = {
        "intake.py": {"RefusedError", "FullError"},
        "keeping.py": {"FullError"},
        "store/people.py": {"UsageError"},
        "out/mqtt.py": {"NotTakenError"},
        "out/webhook.py": {"NotTakenError"},
    }
    for path in (root / "inputs").glob("*.py"):
        told_by[f"inputs/{path.name}"] = {"RefusedError", "StorageError", "UsageError"}
    for name in ("chunks", "containers", "examining", "flac", "media", "mpeg", "ogg"):
        told_by[f"../audio/{name}.py"] = {"AudioError", "DamagedError"}
    found = 0
    for file, names in told_by.items():
        for node in ast.walk(ast.parse((root / file).read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in names and node.args:
                plain = isinstance(node.args[0], ast.Constant | ast.JoinedStr)
                assert not plain, f"{file}:{node.lineno} raises English: make it a Sentence"
                found += 1
    assert found > 40


def test_a_driver_says_what_it_has_to_say_without_its_statement() -> None:
    broken = OperationalError("INSERT INTO clips", {}, Exception("disk I/O error\nsecond line"))
    told_once = trouble(broken)
    assert "disk I/O error" in told_once
    assert "INSERT" not in told_once
    assert "second" not in told_once
    assert "Datenbank arbeitet nicht (disk I/O error)" in words.translated("de", told_once)
    assert words.translated("de", trouble(OSError(5, "Input/output error"))).startswith("Meldung: ")


def test_what_was_kept_is_told_again_with_the_sentences_in_it() -> None:
    inner = Sentence("too_long", minutes=90.0, most=60.0)
    whole = Sentence("of_file", file='["a', said=inner)
    assert told(kept(whole)) == whole
    assert words.translated("de", told(kept(whole))).endswith(
        "diese Aufnahme ist 90 Minuten lang, erlaubt sind 60 (longest_minutes): bitte in Teilen senden"
    )
    for plain in ("", "7 dB, as an earlier version wrote it", '["', '["no key"]', '["level", 3]'):
        assert told(kept(plain)) == plain or plain == '["level", 3]'
    assert said(StorageError(whole)) is whole
    assert said(OSError(2, "gone")) == "[Errno 2] gone"

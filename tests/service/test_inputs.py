"""What inputs bring, and how each is."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from thrum import audio
from thrum.errors import StorageError
from thrum.sentences import told
from thrum.service import health
from thrum.service.config import Settings
from thrum.service.intake import FullError
from thrum.service.running import Service
from thrum.service.store import schema, views
from thrum.service.window import Windows
from watched import MACHINE, MakeService, Sounds, judge_all, look, the_folder, view


def health_of(service: Service, name: str = "folder") -> str:
    service.keeping.once()
    with service.database.reading() as connection:
        return str(views.all_inputs(connection, [name])[0]["health"])


@pytest.mark.parametrize(("clip", "hop"), [(1.0, 1.0), (1.0, 0.25), (0.5, 0.8)])
def test_windows_are_those_of_one_long_array(clip: float, hop: float) -> None:
    random = np.random.default_rng(0)
    whole = random.standard_normal(8000).astype(np.float32)
    cut = Windows(1000, clip, hop, started_at=50.0)
    found, place = [], 0
    while place < len(whole):
        size = int(random.integers(1, 700))
        found += list(cut.push(whole[place : place + size]))
        place += size
    n, step = int(clip * 1000), int(hop * 1000)
    starts = list(range(0, len(whole) - n + 1, step))
    assert [at for at, _ in found] == pytest.approx([50 + first / 1000 for first in starts])
    for first, (_, samples) in zip(starts, found, strict=True):
        np.testing.assert_array_equal(samples, whole[first : first + n])


def test_what_a_clip_says_of_its_input() -> None:
    random = np.random.default_rng(0)
    noise = (0.05 * random.standard_normal(16000)).astype(np.float32)
    assert health.measure(noise).health == "well"
    assert health.measure(noise).level_db == pytest.approx(20 * np.log10(0.05), abs=0.1)
    assert health.measure(np.zeros(16000, np.float32)).health == "silent"
    assert health.measure(np.full(16000, 0.25, np.float32)).health == "constant"
    assert health.measure(np.clip(50 * noise, -1, 1)).health == "clipped"


def test_what_lay_there_before_is_taken_once(make_service: MakeService, sounds: Sounds) -> None:
    service = make_service()
    for path in sounds("www"):
        shutil.copy(path, the_folder(service).folder / path.name)
    (the_folder(service).folder / "notes.txt").write_text("no sound")
    assert look(service) == 3
    assert look(service) == 0
    service.stop()
    again = make_service()
    assert look(again) == 0
    with again.database.reading() as connection:
        assert views.totals(connection) == {"waiting": 3}


def test_a_file_that_grows_is_not_taken(make_service: MakeService, sounds: Sounds) -> None:
    service = make_service()
    content = sounds("w")[0].read_bytes()
    path = the_folder(service).folder / "growing.wav"
    for end in (1000, 5000, 20000):
        path.write_bytes(content[:end])
        assert the_folder(service).look() == 0
    path.write_bytes(content)
    assert look(service) == 1
    with service.database.reading() as connection:
        assert views.all_inputs(connection, ["folder"])[0]["refused"] == 0


def test_a_folder_that_is_not_mounted_is_gone_and_comes_back(
    make_service: MakeService, sounds: Sounds
) -> None:
    service = make_service()
    folder = the_folder(service).folder
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(StorageError, match="is it mounted") as error:
        the_folder(service).look()
    the_folder(service).lost = str(error.value)
    assert health_of(service) == "gone"
    with service.database.reading() as connection:
        assert views.fleet(connection, [MACHINE])[0].state == "waiting"  # http still listens
    folder.with_name("elsewhere").rename(folder)
    shutil.copy(sounds("w")[0], folder / "a.wav")
    assert look(service) == 1
    assert health_of(service) == "well"


def test_late_then_gone_then_well_again(make_service: MakeService, sounds: Sounds) -> None:
    service = make_service()
    source = service.inputs["folder"]
    source.heard_at = time.monotonic() - 3.5 * 60
    assert health_of(service) == "late"
    source.heard_at = time.monotonic() - 11 * 60
    assert health_of(service) == "gone"
    shutil.copy(sounds("w")[0], the_folder(service).folder / "a.wav")
    look(service)
    assert health_of(service) == "well"


def test_a_dead_microphone_is_never_a_failing_machine_and_never_well(
    make_service: MakeService, sounds: Sounds, tmp_path: Path
) -> None:
    service = make_service()
    folder = the_folder(service).folder
    shutil.copy(sounds("w")[0], folder / "a.wav")
    look(service)
    service.judging.once()
    for number in range(30):
        samples = np.zeros(24000, np.float32) if number % 2 else np.full(24000, 0.2, np.float32)
        samples[:number] = 0.1  # no two files are alike
        audio.write(folder / f"dead{number:02d}.wav", samples, 16000)
    look(service)
    while service.judging.once():
        pass
    service.inputs["http"].heard_at = time.monotonic() - 1e6
    service.keeping.once()
    with service.database.reading() as connection:
        view = views.fleet(connection, [MACHINE])[0]
        states = {row["state"] for row in views.judged(connection, MACHINE, 100)[1:]}
    assert view.judged == 31
    assert states == {"no sound"}
    assert view.state == "unheard"
    assert view.alarm is None


def test_an_input_that_was_taken_away_does_not_hear(
    make_service: MakeService, sounds: Sounds, settings: Settings
) -> None:
    first = make_service()
    first.intake.recording(settings.inputs[1], sounds("w")[0].read_bytes())
    judge_all(first)
    first.stop()
    alone = make_service(inputs=settings.inputs[:1])
    alone.inputs["folder"].heard_at = time.monotonic() - 1e6
    alone.keeping.once()
    assert view(alone).state == "unheard"


def test_a_name_that_is_no_text_stops_nothing(make_service: MakeService, sounds: Sounds) -> None:
    service = make_service()
    folder = the_folder(service).folder
    for name, path in zip((b"L\xfcfter.wav", b"L\xfcfter2.wav"), sounds("ww"), strict=True):
        shutil.copy(path, folder / os.fsdecode(name))
    (folder / os.fsdecode(b"torn\xfc.wav")).write_bytes(b"nothing")
    assert look(service) == 3
    assert look(service) == 0
    with service.database.reading() as connection:
        row = views.all_inputs(connection, ["folder"])[0]
    assert (row["clips"], row["refused"]) == (2, 1)
    assert told(row["detail"]).startswith("torn\\xfc.wav: ")


def test_a_machine_is_well_for_no_hour_in_which_nobody_heard_it(make_service: MakeService) -> None:
    service = make_service()
    health = [("folder", "well", 10), ("http", "well", 20), ("folder", "silent", 100)]
    health += [("http", "gone", 150), ("http", "well", 180), ("folder", "well", 200)]
    begun = [("well", 50), ("suspicious", 160), ("alarm", 170)]
    with service.database.writing() as connection:
        for table in (schema.input_health, schema.states):
            connection.execute(table.delete())
        for name, how, at in health:
            row = {"input": name, "health": how, "detail": "", "begun_at": at * 3600.0}
            connection.execute(schema.input_health.insert().values(**row))
        for state, at in begun:
            row = {"machine": MACHINE, "state": state, "begun_at": at * 3600.0}
            connection.execute(schema.states.insert().values(**row))
        all_of_it = views.hours_in(connection, MACHINE, 0.0, 300 * 3600.0)
        the_end = views.hours_in(connection, MACHINE, 155 * 3600.0, 175 * 3600.0)
    # from hour 150 to 180 both were deaf; an alarm stays one
    assert all_of_it == pytest.approx({"well": 100, "unheard": 20, "alarm": 130})
    assert the_end == pytest.approx({"unheard": 15, "alarm": 5})


def test_wrong_rate_and_unreadable_are_said(make_service: MakeService, sounds: Sounds) -> None:
    service = make_service()
    folder = the_folder(service).folder
    random = np.random.default_rng(0)
    audio.write(folder / "low.wav", (0.1 * random.standard_normal(12000)).astype(np.float32), 8000)
    look(service)
    assert health_of(service) == "wrong rate"
    (folder / "torn.wav").write_bytes(sounds("w")[0].read_bytes()[:9000])
    look(service)
    assert health_of(service) == "unreadable"
    with service.database.reading() as connection:
        row = views.all_inputs(connection, ["folder"])[0]
    assert row["refused"] == 2
    assert "torn.wav" in row["detail"]
    assert "incoming" not in row["detail"]


def test_long_recordings_are_cut_like_those_learnt(
    make_service: MakeService, sounds: Sounds
) -> None:
    service = make_service()
    whole = np.concatenate([audio.read(path)[0] for path in sounds("wwww")])
    audio.write(the_folder(service).folder / "long.wav", whole, 16000)
    look(service)
    assert service.judging.once() == 4


def test_a_full_disk_refuses_and_what_waits_is_taken_later(
    make_service: MakeService, sounds: Sounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service()
    shutil.copy(sounds("w")[0], the_folder(service).folder / "a.wav")
    the_folder(service).look()
    with monkeypatch.context() as full:
        usage = shutil.disk_usage("/")
        full.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100))
        with pytest.raises(FullError, match="least_free_mb"):
            the_folder(service).look()
        with pytest.raises(FullError):
            service.keeping.once()
    assert look(service) == 1

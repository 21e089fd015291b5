"""Explanations: the patch where a fault was put, and the words for what was put there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import thrum
from monitoring_sound import RATE, SECONDS, faulty, well, written
from thrum.datasets import open_dataset
from thrum.errors import DataError
from thrum.monitoring import Monitor
from thrum.monitoring.baseline import Known
from thrum.monitoring.detail import SPECTRUM_HZ, detail_of
from thrum.monitoring.differences import Normal, differences, prominence
from thrum.monitoring.explanation import sounds
from thrum.monitoring.occlusion import (
    HOP,
    WINDOW,
    Relevance,
    band_powers,
    edges_hz,
    spectra,
    with_added,
)
from thrum.monitoring.page import write_page
from thrum.types import Clip


@pytest.fixture
def monitor(run: Path) -> Monitor:
    return thrum.open_monitor(run, "machine0/id_00", device="cpu")


def normal(clips: int = 12) -> Normal:
    random = np.random.default_rng(30)
    details = [detail_of(well(random)) for _ in range(clips)]
    return Normal(
        np.full(clips, -20.0),
        np.stack([each.spectrum for each in details]),
        np.stack([each.envelope for each in details]),
    )


def found(sound: np.ndarray, kind: str) -> list[str]:
    detail = detail_of(np.asarray(sound, np.float32))
    every = differences(-20.0, detail.spectrum, detail.envelope, normal())
    return [each.words for each in every if each.kind == kind]


def test_the_strongest_patch_is_where_the_fault_was_put(monitor: Monitor, tmp_path: Path) -> None:
    path = written(tmp_path, "whistle.wav", faulty(np.random.default_rng(31)))
    explanation = monitor.explain(path)
    relevance = explanation.relevance
    time, band = relevance.strongest
    assert relevance.hz[band] <= 3000 <= relevance.hz[band + 1]
    assert relevance.seconds[time] >= SECONDS / 2 - 0.1
    assert relevance.falls[time, band] > 5 * np.median(np.abs(relevance.falls))
    assert any("new tone at 3000 Hz" in each.words for each in explanation.different)
    assert explanation.nearest.name in {clip.name for clip in monitor.baseline.clips}


def test_what_is_there_all_the_time_is_a_band_and_no_moment() -> None:
    falls = np.zeros((8, 16))
    falls[:, 5] = 1.0
    falls[3, 9] = 2.0
    edges = np.arange(9.0), np.arange(17.0)
    assert Relevance(falls, *edges).steady_band == 5
    falls[3, 5] = 5.0
    assert Relevance(falls, *edges).steady_band is None
    assert Relevance(-falls, *edges).steady_band is None


def test_a_patch_made_as_usual_has_the_usual_power() -> None:
    random = np.random.default_rng(32)
    sound = (0.1 * random.normal(size=RATE)).astype(np.float32)
    powers = band_powers(10 ** (detail_of(sound).spectrum.astype(float) / 10), SPECTRUM_HZ)
    shares = np.diff(edges_hz()) / (RATE / 2)
    # White noise: each band has the share of the power that it has of the frequencies, less Hann's 1.5 / 2.
    np.testing.assert_allclose(powers, 0.75 * 0.01 * shares, rtol=0.15)


def test_detail_is_welchs_and_of_a_hundredth_of_a_second_there_is_one_too() -> None:
    from scipy.signal import welch

    sound = np.random.default_rng(2).normal(scale=0.1, size=3 * RATE).astype(np.float32)
    _, density = welch(sound.astype(float), RATE, "hann", 4096, 2048, detrend=False)
    power = density * RATE * 1.5 / 4096 / 2  # of a line instead of a hertz, two-sided as here
    power[[0, -1]] *= 2
    np.testing.assert_allclose(detail_of(sound).spectrum, 10 * np.log10(power), atol=1e-3)
    assert not detail_of(sound[:160]).envelope.any()  # no rhythm in one value of the envelope


@pytest.mark.parametrize("samples", [WINDOW, WINDOW + 1, 5 * HOP, 16001])
def test_a_patch_is_changed_as_by_the_inverse_of_the_whole_transform(samples: int) -> None:
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    sound = np.random.default_rng(0).normal(size=samples)
    reference = ShortTimeFFT(hann(WINDOW, sym=False), HOP, RATE, scale_to="magnitude")
    whole = reference.stft(sound)
    own = spectra(sound)
    np.testing.assert_allclose(np.abs(own), np.abs(whole).T, atol=1e-15)
    for first, end in ((0, 2), (len(own) // 2, len(own) // 2 + 2), (len(own) - 1, len(own))):
        changed = whole.copy()
        changed[10:40, first:end] *= 0.3
        added = np.zeros((end - first, own.shape[1]), complex)
        added[:, 10:40] = -0.7 * own[first:end, 10:40]
        wanted = reference.istft(changed, k1=samples)
        assert np.abs(wanted - sound).max() > 1e-4
        np.testing.assert_allclose(with_added(sound, added, first), wanted, atol=1e-13)


def test_a_tone_stands_out_by_what_it_has_above_its_surroundings() -> None:
    time = np.arange(10 * RATE) / RATE
    random = np.random.default_rng(33)
    noise = 1e-3 * random.normal(size=len(time))
    for amplitude in (0.01, 0.1):
        spectrum = detail_of(
            (amplitude * np.sin(2 * np.pi * 1000 * time) + noise).astype(np.float32)
        ).spectrum
        line = int(np.abs(SPECTRUM_HZ - 1000).argmin())
        assert prominence(spectrum.astype(float)).argmax() == line
        assert spectrum[line] == pytest.approx(20 * np.log10(amplitude / 2), abs=0.2)


def test_words_for_a_tone_with_harmonics() -> None:
    random = np.random.default_rng(34)
    time = np.arange(int(SECONDS * RATE)) / RATE
    tones = sum(0.05 * np.sin(2 * np.pi * 1250 * k * time) for k in (1, 2, 3))
    assert found(well(random) + tones, "tone") == [
        words for words in found(well(random) + tones, "tone") if "1250 Hz" in words
    ]
    assert "with its harmonics 2, 3" in found(well(random) + tones, "tone")[0]


def test_words_for_a_tone_that_is_gone() -> None:
    random = np.random.default_rng(35)
    noise = 0.1 * random.normal(size=int(SECONDS * RATE))
    assert any("missing tone at 109 Hz" in words for words in found(noise, "tone"))


def test_words_for_knocking() -> None:
    random = np.random.default_rng(36)
    sound = well(random).astype(float)
    ring = np.exp(-np.arange(200) / 30) * np.sin(2 * np.pi * 4000 * np.arange(200) / RATE)
    for start in np.arange(0, len(sound) - 200, RATE / 23.5):
        sound[int(start) : int(start) + 200] += 0.8 * ring
    words = found(sound, "impulses")[0]
    rate = float(words.split()[1])
    assert rate == pytest.approx(23.5, abs=0.5)
    assert "(1410 a minute)" in words


def test_words_for_a_band_and_for_the_level() -> None:
    from scipy.signal import butter, sosfilt

    random = np.random.default_rng(37)
    hiss = sosfilt(
        butter(4, [2000, 3000], "bandpass", fs=RATE, output="sos"), random.normal(size=24000)
    )
    words = found(well(random) + 0.1 * hiss, "band")[0]
    assert "louder than usual" in words
    assert words.split(" to ")[0] in {
        f"{hz / 1000:.1f} kHz" for hz in edges_hz() if 1500 < hz < 2300
    }
    detail = detail_of(well(random))
    level = differences(-8.0, detail.spectrum, detail.envelope, normal())[0]
    assert level.words == "12 dB louder than the loudest normal clips (-8 dB against -20 to -20 dB)"


def test_a_normal_clip_has_nothing_to_say() -> None:
    random = np.random.default_rng(38)
    said = [found(well(random), kind) for kind in ("tone", "impulses") for _ in range(5)]
    assert sum(map(len, said)) <= 1


def test_page_and_json_say_the_same(monitor: Monitor, tmp_path: Path) -> None:
    path = written(tmp_path, "a <b>.wav", faulty(np.random.default_rng(39)))
    explanation = monitor.explain(path)
    write_page(tmp_path / "page.html", explanation)
    page = (tmp_path / "page.html").read_text()
    told = json.loads((tmp_path / "page.json").read_text())
    assert told == json.loads(json.dumps(explanation.to_json()))
    assert "a &lt;b&gt;.wav" in page
    assert explanation.place in page
    assert page.count("<audio") == 2
    assert "http" not in page.replace("http-equiv", "")


def test_without_the_nearest_recording_the_page_says_so(
    monitor: Monitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "a.wav", faulty(np.random.default_rng(40)))
    explanation = monitor.explain(path)
    gone = replace(explanation, nearest=replace(explanation.nearest, path="/nowhere.wav"))
    write_page(tmp_path / "page.html", gone)
    assert "its file is no longer where it was" in (tmp_path / "page.html").read_text()


def test_of_a_long_recording_its_part_alone_is_heard(monitor: Monitor, tmp_path: Path) -> None:
    random = np.random.default_rng(41)
    path = written(tmp_path, "a.wav", faulty(random))
    parts = [well(random) for _ in range(4)]
    long = Clip(
        written(tmp_path, "long.wav", np.concatenate(parts)),
        *monitor.key,
        "train",
        stretch=(2 * SECONDS, SECONDS),
    )
    explanation = replace(monitor.explain(path), nearest=Known.of(long, "normal"))
    np.testing.assert_allclose(sounds(explanation)[1], parts[2], atol=1e-4)
    long.path.write_bytes(path.read_bytes())  # another recording by now
    assert len(sounds(explanation)) == 1


def test_features_are_explained_by_their_dimensions(tmp_path: Path) -> None:
    import machines
    from thrum.monitoring.opening import prepare_monitors

    machines.write_arrays(tmp_path / "data", machines=1, clips=20)
    with np.load(tmp_path / "data" / "Press_id_00.npz") as file:
        arrays = {name: file[name].copy() for name in file}
    arrays["test_anomaly"] = arrays["test_normal"][:1].copy()
    arrays["test_anomaly"][0, 12:, 7] += 40
    np.savez(tmp_path / "data" / "Press_id_00.npz", **arrays)
    dataset = open_dataset(tmp_path / "data")
    clips = list(dataset.where(split="train"))
    system = thrum.create_system("knn", device="cpu").fit(clips)
    system.save(tmp_path / "run")
    prepare_monitors(tmp_path / "run", system, clips, when="then", who="tests")
    own = thrum.open_monitor(tmp_path / "run", device="cpu")
    strange = next(clip for clip in dataset if clip.label == "anomaly")
    explanation = own.explain(strange)
    time, band = explanation.relevance.strongest
    assert explanation.relevance.hz[band] == 7
    assert explanation.relevance.seconds[time] >= 12
    assert "dimensions 7 to 8" in explanation.place
    write_page(tmp_path / "page.html", explanation)
    assert "these are features, not a recording" in (tmp_path / "page.html").read_text()


def test_what_cannot_be_explained_is_said(monitor: Monitor, tmp_path: Path) -> None:
    silent = written(tmp_path, "silent.wav", np.zeros(24000, np.float32))
    with pytest.raises(DataError, match="no sound to explain"):
        monitor.explain(silent)


def test_a_patch_that_is_quieter_than_usual_counts_half() -> None:
    falls = np.ones((8, 16))
    falls[2, 3], falls[4, 9], falls[0, 0] = 5.0, 4.0, -9.0
    edges = (np.arange(9.0), np.arange(17.0))
    assert Relevance(falls, *edges).strongest == (2, 3)
    louder = np.ones((8, 16), bool)
    louder[2, 3] = False
    relevance = Relevance(falls, *edges, louder)
    assert relevance.strongest == (4, 9)
    assert relevance.weighed[2, 3] == 2.5
    assert relevance.weighed[0, 0] == 0
    falls[2, 3] = 9.0  # what is missing can be most of it all the same
    assert Relevance(falls, *edges, louder).strongest == (2, 3)
    assert Relevance(-np.abs(falls), *edges, louder).strongest == (0, 1)  # nothing falls


def test_which_patches_are_louder_is_told_by_the_sound(monitor: Monitor, tmp_path: Path) -> None:
    path = written(tmp_path, "whistle.wav", faulty(np.random.default_rng(44)))
    relevance = monitor.explain(path).relevance
    assert relevance.louder is not None
    assert relevance.louder[relevance.strongest]
    low, high = np.searchsorted(relevance.hz, [2900, 3100])
    late = relevance.seconds[:-1] >= SECONDS / 2
    assert relevance.louder[late][:, low - 1 : high].any(axis=1).all()

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import soundfile
from PIL import Image

from thrum.errors import EvaluationError
from thrum.evaluation import listening
from thrum.evaluation.listening import ExcerptBudget, LogMel, Recording


def tone(hertz: float, *, rate: int = 16000, seconds: float = 3.0, peak: float = 0.1) -> Recording:
    time = np.arange(round(seconds * rate)) / rate
    return Recording((peak * np.sin(2 * np.pi * hertz * time)).astype(np.float32), rate)


def content(address: str, kind: str) -> bytes:
    head, _, body = address.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(body, validate=True)


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("hertz", [250.0, 1000.0, 2000.0])
def test_a_tone_is_bright_where_its_mark_is(hertz: float, rate: int) -> None:
    picture = listening.picture_of(tone(hertz, rate=rate), name="tone")
    marks = dict(listening.frequency_marks(rate / 2))
    height = (picture.decibels.mean(axis=0).argmax() + 0.5) / listening.PICTURE_BANDS
    assert height == pytest.approx(marks[f"{hertz / 1000:g}"], abs=1.5 / listening.PICTURE_BANDS)
    assert picture.top_hz == rate / 2
    assert picture.seconds == pytest.approx(3.0)


@pytest.mark.parametrize("seconds", [0.01, 1.0, 10.0, 120.0])
def test_a_picture_shows_the_whole_clip_in_bounded_size(seconds: float) -> None:
    recording = tone(500.0, seconds=seconds)
    recording.audio[-len(recording.audio) // 8 :] = 0
    decibels = listening.picture_of(recording, name="tone").decibels
    assert len(decibels) <= listening.PICTURE_FRAMES
    assert decibels.shape[1] == listening.PICTURE_BANDS
    if seconds >= 1:
        assert decibels[0].max() > -20
        assert decibels[-1].max() == pytest.approx(-100)


def test_features_are_averaged_to_the_width_of_a_picture() -> None:
    decibels = np.repeat(np.arange(200.0), 5)[:, None] * np.ones(16)  # 1000 frames
    picture = listening.picture_of(LogMel(decibels, hop_seconds=0.01), name="x")
    assert picture.decibels.shape == (listening.PICTURE_FRAMES, 16)
    assert (np.diff(picture.decibels[:, 0]) > 0).all()
    assert picture.decibels.mean() == pytest.approx(decibels.mean(), abs=0.2)
    assert (picture.seconds, picture.top_hz) == (10.0, None)


@pytest.mark.parametrize(
    "sound",
    [
        Recording(np.zeros(0, np.float32), 16000),
        Recording(np.array([0.0, np.nan], np.float32), 16000),
        LogMel(np.full((4, 8), -np.inf), 0.01),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(sound: Recording | LogMel) -> None:
    with pytest.raises(EvaluationError, match=r"anomaly_3\.wav"):
        listening.picture_of(sound, name="anomaly_3.wav")


def test_images_share_one_scale_and_keep_low_frequencies_below() -> None:
    quiet = listening.picture_of(tone(250.0, peak=0.01), name="quiet")
    loud = listening.picture_of(tone(250.0, peak=0.5), name="loud")
    shades = [
        np.asarray(Image.open(io.BytesIO(content(one, "image/webp"))).convert("L"), dtype=float)
        for one in listening.images([quiet, loud])
    ]
    assert shades[0].shape == (listening.PICTURE_BANDS, len(quiet.decibels))
    assert shades[1].max() > shades[0].max() + 30
    assert shades[1].mean(axis=1).argmax() > listening.PICTURE_BANDS * 0.75
    assert listening.images([]) == []


def test_an_excerpt_is_the_recording_at_one_gain_for_all() -> None:
    recordings = [tone(440.0, peak=0.1), tone(880.0, peak=0.02)]
    budget = ExcerptBudget(n_machines=1, n_clips=6)
    for recording, excerpt in zip(recordings, budget.excerpts(recordings), strict=True):
        played, rate = soundfile.read(io.BytesIO(content(excerpt.address, "audio/flac")))
        assert rate == 16000
        np.testing.assert_allclose(played, 5 * recording.audio, atol=2 / 32768)
        assert excerpt.seconds == pytest.approx(3.0)
        assert excerpt.gain_db == pytest.approx(20 * np.log10(5), abs=0.01)


def test_excerpts_are_cut_and_brought_down_in_rate() -> None:
    (excerpt,) = ExcerptBudget(n_machines=1, n_clips=6).excerpts(
        [tone(440.0, rate=48000, seconds=30.0)]
    )
    played, rate = soundfile.read(io.BytesIO(content(excerpt.address, "audio/flac")))
    assert (rate, len(played)) == (16000, 160000)
    assert excerpt.seconds == listening.LONGEST_SECONDS


def test_silence_stays_silent() -> None:
    silence = Recording(np.zeros(16000, np.float32), 16000)
    (excerpt,) = ExcerptBudget(n_machines=1, n_clips=6).excerpts([silence])
    played, _ = soundfile.read(io.BytesIO(content(excerpt.address, "audio/flac")))
    assert not played.any()


@pytest.mark.parametrize(
    ("n_machines", "clips", "seconds"), [(1, 6, 10.0), (6, 6, 6.0), (15, 5, 3.0), (500, 1, 3.0)]
)
def test_the_budget_is_shared_out(n_machines: int, clips: int, seconds: float) -> None:
    budget = ExcerptBudget(n_machines=n_machines, n_clips=6)
    assert (budget.clips, budget.seconds) == (clips, seconds)


def test_the_budget_is_never_exceeded() -> None:
    budget = ExcerptBudget(n_machines=1000, n_clips=6)
    noise = np.random.default_rng(0).uniform(-1, 1, 16000 * 3).astype(np.float32)
    excerpts = [one for _ in range(80) for one in budget.excerpts([Recording(noise, 16000)])]
    assert 40 <= len(excerpts) < 80
    assert sum(len(one.address) for one in excerpts) <= listening.AUDIO_BUDGET_BYTES

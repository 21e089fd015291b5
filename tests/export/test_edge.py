"""``thrum-edge``: the same as the monitor, without PyTorch, and a sentence for whatever is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace

import exporting
import numpy as np
import onnx
import pytest
import soundfile

import machines
from thrum.export import export_monitor
from thrum.monitoring import AlarmSettings, Monitor, Stream, open_monitor
from thrum.monitoring.alarms import highest_level
from thrum_edge import EdgeError, Model, Reading, alarms, cli, microphone
from thrum_edge.sound import clips

RATE = exporting.RATE


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("edge")
    exporting.monitor(exporting.dataset(folder / "data"), folder / "run", "knn", {})
    return folder / "run"


@pytest.fixture(scope="module")
def monitor(run: Path) -> Monitor:
    return open_monitor(run, "machine0/id_00", alarms=AlarmSettings("stream", 20))


@pytest.fixture(scope="module")
def file(run: Path, monitor: Monitor) -> Path:
    export_monitor(monitor, run / "m.onnx")
    return run / "m.onnx"


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """Three well clips, five faulty ones, and a recording of five clips' length."""
    random = np.random.default_rng(11)
    for number in range(9):
        hz, seconds = 110 if number < 3 else 137, 21.5 if number == 8 else 4
        clip = machines.tone(random, hz, seconds=seconds, rate=RATE)
        soundfile.write(tmp_path / f"{number}.wav", clip, RATE, subtype="FLOAT")
    return tmp_path


def judged(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, list[dict], str]:
    with pytest.raises(SystemExit) as end:
        cli.main([*map(str, words), "--json"])
    shown = capsys.readouterr()
    return (
        int(end.value.code or 0),
        [json.loads(line) for line in shown.out.splitlines()],
        shown.err,
    )


def test_a_folder_is_judged_as_the_monitor_judges_it(monitor, file, sound, capsys) -> None:
    wanted = monitor.judge(sound)
    code, found, _ = judged(capsys, file, sound)
    assert code == 3
    assert [one["file"] for one in found] == [one.file for one in wanted]
    assert [one["state"] for one in found] == [one.state for one in wanted]
    assert [one["p_value"] for one in found] == [one.p for one in wanted]
    assert [one["start_seconds"] for one in found] == [one.start_seconds for one in wanted]
    assert found[-1]["end_seconds"] == 21.5
    scores = np.array([one["score"] for one in found])
    np.testing.assert_allclose(scores, [one.score for one in wanted], rtol=1e-4)


def test_alarms_are_those_of_thrum() -> None:
    random = np.random.default_rng(3)
    known = {"idle": random.normal(size=60), "work": random.normal(size=25) + 5}
    for settings in (
        AlarmSettings("stream", 50),
        AlarmSettings("x of y", 40, x=2, y=4),
        AlarmSettings("clip", 20),
    ):
        x, y = (settings.x, settings.y) if settings.rule == "x of y" else (1, 1)
        levels = {
            name: highest_level(x, y, settings.between_false_alarms, len(own))
            for name, own in known.items()
        }
        told = {"alarms": vars(settings), "levels": levels}
        told["left_out_scores"] = {name: own.tolist() for name, own in known.items()}
        here, there, seen = alarms.Stream(told), Stream(known, settings), set()
        for number in range(400):
            name = "idle" if random.random() < 0.6 else "work"
            shift = 3 * (100 < number < 115) + 6 * (250 < number < 258)
            score = float(random.normal() + shift + 5 * (name == "work"))
            wanted = there.hear(score, state=name).alarm
            found = here.hear(Reading(score, 0.5, "well", name, -20.0)) == "alarm"
            assert found == wanted
            seen.add(found)
        assert seen == {True, False}


def test_neither_torch_nor_thrum_is_imported(file: Path, sound: Path) -> None:
    code = (
        f"import sys\nfrom thrum_edge import cli\n"
        f"try:\n    cli.main([{str(file)!r}, {str(sound / '0.wav')!r}])\n"
        f"except SystemExit as end:\n    assert end.code == 0, end.code\n"
        f"assert not {{'torch', 'thrum', 'onnx', 'scipy'}} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("well ")
    assert "promised: at most one false alarm in 20 clips" in done.stderr


def spoilt(path: Path, kind: str) -> None:
    """Write what cannot be judged."""
    samples = machines.tone(np.random.default_rng(0), 110, seconds=4, rate=RATE)
    if kind == "NaN":
        samples[5] = np.nan
    if kind in ("FLAC cut",):
        soundfile.write(path, samples, RATE, format="FLAC")
    else:
        soundfile.write(path, samples, 48000 if kind == "rate" else RATE, subtype="FLOAT")
    content = path.read_bytes()
    if kind in ("cut", "FLAC cut"):
        path.write_bytes(content[: len(content) // 2])
    at = content.find(b"data") + 4
    if kind == "power":
        path.write_bytes(content[:at] + bytes(4) + content[at + 4 :])
    if kind == "words":
        path.write_bytes(b"these are words, no sound")
    if kind == "empty":
        path.write_bytes(b"")
    if kind == "short":
        soundfile.write(path, samples[:500], RATE)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("rate", "has 48000 samples per second, wanted 16000: record at 16000 Hz"),
        ("NaN", "holds 1 samples that are NaN or infinite"),
        ("cut", "is cut short: its header announces"),
        ("FLAC cut", "0.wav (cannot be read|is cut short)"),
        ("power", "a header that was never finished"),
        ("empty", "holds nothing, 0 bytes: record it again"),
        ("words", "is neither wav nor flac"),
        ("short", r"wanted one clip \(S,\) of 0.064 s and more"),
    ],
)
def test_one_bad_file_is_named_and_the_others_are_judged(
    file: Path, sound: Path, capsys: pytest.CaptureFixture[str], kind: str, said: str
) -> None:
    import re

    spoilt(sound / "0.wav", kind)
    code, found, err = judged(capsys, file, sound / "0.wav", sound / "1.wav")
    assert (code, [one["state"] for one in found]) == (1, ["well"])
    assert re.search(said, err), err
    assert "Traceback" not in err


def test_models_that_cannot_be_used(file: Path, tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match="no model at"):
        Model(tmp_path / "none.onnx")
    (tmp_path / "cut.onnx").write_bytes(file.read_bytes()[:-2000])
    with pytest.raises(EdgeError, match="cut short or damaged"):
        Model(tmp_path / "cut.onnx")
    (tmp_path / "words.onnx").write_text("words")
    with pytest.raises(EdgeError, match="cut short or damaged"):
        Model(tmp_path / "words.onnx")
    newer = onnx.load(file)
    newer.opset_import[0].version = 99
    onnx.save(newer, tmp_path / "newer.onnx")
    with pytest.raises(EdgeError, match="operators of a version 99 that onnxruntime .* not know"):
        Model(tmp_path / "newer.onnx")
    del newer.metadata_props[:]
    newer.opset_import[0].version = 17
    onnx.save(newer, tmp_path / "foreign.onnx")
    with pytest.raises(EdgeError, match="a model of another program"):
        Model(tmp_path / "foreign.onnx")
    onnx.helper.set_model_props(newer, {"thrum": json.dumps({"format": 2, "thrum": "9.0"})})
    onnx.save(newer, tmp_path / "later.onnx")
    with pytest.raises(EdgeError, match="of format 2, this thrum-edge reads 1: install"):
        Model(tmp_path / "later.onnx")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say what to judge: recordings, or --microphone"),
        (["nowhere.wav"], "no recording at nowhere.wav"),
        (["0.wav", "--post", "ftp://x"], "is no address to post to: wanted http"),
        (["0.wav", "--post", "http://127.0.0.1:9/"], "nobody takes what is posted to"),
    ],
)
def test_words_that_are_wrong(file, sound, capsys, monkeypatch, words: list[str], said) -> None:
    monkeypatch.chdir(sound)
    code, _, err = judged(capsys, file, *words)
    assert code == 1
    assert said in err


@pytest.fixture
def receiver() -> Iterator[SimpleNamespace]:
    """An address that keeps what is posted to it."""
    taken: list[dict] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(500 if self.path == "/full" else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield SimpleNamespace(address=f"http://127.0.0.1:{server.server_port}", taken=taken)
    server.shutdown()
    server.server_close()


def test_judgements_are_posted(file, sound, capsys, receiver) -> None:
    code, found, _ = judged(capsys, file, sound / "0.wav", "--post", f"{receiver.address}/in")
    assert code == 0
    assert receiver.taken == found
    assert found[0]["machine"] == "machine0/id_00"
    code, _, err = judged(capsys, file, sound / "0.wav", "--post", f"{receiver.address}/full")
    assert (code, "answers 500" in err) == (1, True)


def test_what_nobody_took_is_posted_at_the_next_start(file, sound, capsys, receiver) -> None:
    spool = ["--spool", sound / "spool"]
    code, first, err = judged(
        capsys, file, sound / "0.wav", "--post", "http://127.0.0.1:9/", *spool
    )
    assert (code, "what waits (1) is sent at the next start" in err) == (1, True)
    code, second, _ = judged(
        capsys, file, sound / "1.wav", "--post", f"{receiver.address}/in", *spool
    )
    assert code == 0
    assert receiver.taken == first + second


def test_a_microphone_gives_clips_end_to_end(file: Path) -> None:
    model = Model(file)
    heard = machines.tone(np.random.default_rng(1), 110, seconds=8, rate=RATE)
    place = iter(range(0, len(heard), 4 * RATE))

    def record(samples: int) -> np.ndarray:
        start = next(place)
        return heard[start : start + samples]

    listening = microphone.listen(record, model.told)
    first, second = next(listening), next(listening)
    assert np.array_equal(np.concatenate([first.samples, second.samples]), heard)
    assert model.judge(second.samples).state == "well"


def test_a_microphone_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(EdgeError, match="a microphone wants the package sounddevice"):
        microphone.recorder(RATE)


def test_one_channel_of_several(tmp_path: Path) -> None:
    both = np.stack([np.full(RATE, 0.1), np.full(RATE, 0.3)], axis=1)
    soundfile.write(tmp_path / "a.wav", both, RATE, subtype="FLOAT")
    told = {"sample_rate": RATE, "seconds": 1.0, "longest_seconds": 1.0, "hop_seconds": None}
    one = next(clips(tmp_path / "a.wav", {**told, "channel": 1, "channels": [2]}))
    mean = next(clips(tmp_path / "a.wav", {**told, "channel": None, "channels": [1]}))
    assert (one.samples[0], mean.samples[0]) == (np.float32(0.3), np.float32(0.2))
    with pytest.raises(EdgeError, match="has 2 channels, and channel 1 of .4. was learnt"):
        next(clips(tmp_path / "a.wav", {**told, "channel": 1, "channels": [4]}))


def test_what_the_model_is(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([str(file), "--info"])
    told = json.loads(capsys.readouterr().out)
    assert told["normal_clips"] == {"normal": 20}
    assert told["promises"]["normal"].startswith("at most one false alarm in 20 clips")

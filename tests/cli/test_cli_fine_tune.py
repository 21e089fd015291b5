"""``thrum fine-tune`` and ``thrum train --system self-supervised``: what a person types and gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import machines
from thrum.cli.main import app
from thrum.errors import ConfigError

CONFIG = Path(__file__).parents[2] / "configs" / "self_supervised_experiment6.toml"


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    if result.exception:
        raise result.exception
    return result.stdout


def small_wav2vec2(folder: Path) -> Path:
    transformers = pytest.importorskip("transformers", reason="needs the extra 'ssl'")
    from thrum.systems.self_supervised.wav2vec2 import write_network

    small = transformers.Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
    )
    write_network(transformers.Wav2Vec2Model(small), folder)
    return folder


def test_experiment_six_from_fine_tuning_to_the_report(tmp_path: Path) -> None:
    data = machines.write_sound(tmp_path / "data", seconds=1.0)
    tuned = tmp_path / "tuned"
    begin = small_wav2vec2(tmp_path / "weights")
    said = run(
        *("fine-tune", "--data", data, "--out", tuned, "--weights", begin),
        *("--set", "epochs=1", "--set", "crop_seconds=0.5"),
    )
    assert str(tuned / "model.safetensors") in said
    assert json.loads((tuned / "fine_tuning.json").read_text())["epochs"] == 1
    with pytest.raises(ConfigError, match="not empty"):
        run("fine-tune", "--data", data, "--out", tuned, "--weights", begin)

    out = tmp_path / "run"
    settings = ("width=8", "pooled_width=8", "embedding_size=8", "epochs=1", f"wav2vec2={tuned}")
    said = run(
        *("train", "--system", "self-supervised", "--data", data, "--out", out, "--config", CONFIG),
        *(word for setting in settings for word in ("--set", setting)),
    )
    assert str(out / "report.html") in said
    maps = json.loads((out / "report.json").read_text())["maps"]
    assert list(maps["stages"]) == [
        "mean log-mel spectrum",
        "embedding of logmel + tgram + wav2vec2",
    ]
    methods = {line.split(",")[2] for line in (out / "results.csv").read_text().splitlines()[1:]}
    assert methods == {"posterior", "distance", "selected"}
    scored = run(
        "score", out, data / "machine0" / "anomaly", "--machine", "machine0/id_00", "--json"
    )
    assert len(json.loads(scored)) == 3


def test_a_run_on_challenge_data_leaves_a_submission(tmp_path: Path) -> None:
    data = tmp_path / "data"
    sound = machines.write_sound(tmp_path / "sound", seconds=0.5)
    for section in (0, 1):
        train, test = data / "fan" / "train", data / "fan" / "test"
        train.mkdir(parents=True, exist_ok=True)
        test.mkdir(parents=True, exist_ok=True)
        own = sound / f"machine{section}"
        for domain in ("source", "target"):
            name = f"section_{section:02d}_{domain}"
            for n in range(3):
                (train / f"{name}_train_normal_{n:04d}_vel_1.wav").write_bytes(
                    (own / "normal" / f"{n:03d}.wav").read_bytes()
                )
            for label in ("normal", "anomaly"):
                (test / f"{name}_test_{label}_0000_vel_1.wav").write_bytes(
                    (own / label / "000.wav").read_bytes()
                )
    settings = ("features=['logmel']", "width=8", "pooled_width=8", "embedding_size=8", "epochs=1")
    run(
        *("train", "--system", "self-supervised", "--data", data, "--out", tmp_path / "run"),
        *(word for setting in settings for word in ("--set", setting)),
        "--no-report",
    )
    assert not (tmp_path / "run" / "report.html").exists()
    submission = tmp_path / "run" / "submission"
    assert [path.name for path in sorted(submission.iterdir())] == [
        "anomaly_score_fan_section_00_test.csv",
        "anomaly_score_fan_section_01_test.csv",
        "decision_result_fan_section_00_test.csv",
        "decision_result_fan_section_01_test.csv",
    ]
    said = run("evaluate", "--truth", data, "--scores", submission, "--year", 2022, "--json")
    # Eq. 7 of a training clip is 0, so every normal clip, taken from training, ranks first.
    assert json.loads(said)["official_score"] == pytest.approx(1.0)

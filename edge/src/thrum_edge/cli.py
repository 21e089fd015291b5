"""``thrum-edge``: judge recordings, or what a microphone hears, by an exported monitor."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from thrum_edge.errors import EdgeError

ALARM, FAILED, WRONG_WORDS, STOPPED = 3, 1, 2, 130


def main(words: Sequence[str] | None = None) -> None:
    """Run the command; exit codes are those of ``thrum score``: 3 alarm, 1 something could not be judged."""
    try:
        sys.exit(run(_parser().parse_args(words)))
    except EdgeError as error:
        print(f"thrum-edge: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(STOPPED)
    except BrokenPipeError:
        sys.exit(FAILED)


def run(asked: argparse.Namespace) -> int:
    """Judge what was asked for; return the exit code."""
    from thrum_edge.alarms import Stream
    from thrum_edge.model import Model
    from thrum_edge.telling import Telling

    model = Model(asked.model)
    if asked.info:
        shown = {key: own for key, own in model.told.items() if key != "left_out_scores"}
        clips = {name: len(own) for name, own in model.told["left_out_scores"].items()}
        print(json.dumps({**shown, "normal_clips": clips}, indent=2, ensure_ascii=False))
        return 0
    if bool(asked.paths) == asked.microphone:
        raise EdgeError("say what to judge: recordings, or --microphone")
    telling = Telling(asked, model.sample_rate)
    stream, alarm, refused = Stream(model.told), False, False
    for clip in _clips(asked, model.told):
        try:
            if isinstance(clip, EdgeError):
                raise clip
            reading = model.judge(clip.samples)
        except EdgeError as error:
            where = "" if isinstance(clip, EdgeError) else f"{clip.file}: "
            print(f"not judged: {where}{error}", file=sys.stderr)
            refused = True
            continue
        state = stream.hear(reading)
        start, end = clip.stretch or (None, None)
        judgement = {
            "machine": model.machine,
            "file": clip.file,
            "start_seconds": start,
            "end_seconds": end,
            "score": reading.score,
            "p_value": reading.p,
            "state": state,
            "operating_state": reading.operating,
            "level_db": round(reading.level_db, 2),
        }
        _say(judgement, as_json=asked.json)
        refused |= reading.score is None
        refused |= _not_told(telling.tell(judgement, clip.samples)) and asked.spool is None
        alarm |= state == "alarm"
    refused |= _not_told(telling.end())
    if not asked.json:
        for name, words in model.told["promises"].items():
            where = f"{name}: " if len(model.told["promises"]) > 1 else ""
            print(f"promised: {where}{words}", file=sys.stderr)
    return ALARM if alarm else FAILED if refused else 0


def _clips(asked: argparse.Namespace, told: dict[str, Any]) -> Iterator[Any]:
    """Yield clips, and instead of a recording that cannot be read its error."""
    from thrum_edge import microphone, sound

    if asked.microphone:
        yield from microphone.listen(microphone.recorder(told["sample_rate"], asked.device), told)
        return
    found = False
    for path in sound.files(asked.paths):
        found = True
        try:
            yield from sound.clips(path, told)
        except EdgeError as error:
            yield error
    if not found:
        raise EdgeError(
            f"no recording under {', '.join(map(str, asked.paths))}: wanted .wav or .flac"
        )


def _say(judgement: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(judgement, ensure_ascii=False), flush=True)
        return
    start = judgement["start_seconds"]
    place = "" if start is None else f" {start:g}-{judgement['end_seconds']:g} s"
    score, p = judgement["score"], judgement["p_value"]
    numbers = "" if score is None else f"  score {score:.4f}  p {p:.4f}"
    print(f"{judgement['state']:<13}{judgement['file']}{place}{numbers}", flush=True)


def _not_told(errors: Iterator[EdgeError]) -> bool:
    """Say what was not taken, and return whether there was any."""
    found = list(errors)
    for error in found:
        print(f"not told: {error}", file=sys.stderr)
    return bool(found)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="thrum-edge", description="Judge recordings by a monitor that `thrum export` wrote."
    )
    parser.add_argument("model", type=Path, help="the file, for instance monitor.onnx")
    parser.add_argument("paths", type=Path, nargs="*", help="recordings, or folders of them")
    parser.add_argument("--microphone", action="store_true", help="judge what a microphone hears")
    parser.add_argument("--device", help="which microphone, as sounddevice calls it")
    parser.add_argument("--post", metavar="URL", help="post every judgement there, as JSON")
    parser.add_argument(
        "--mqtt",
        metavar="URL",
        help="tell a broker how the machine is: mqtt://user@host:port/prefix",
    )
    parser.add_argument("--mqtt-password-file", type=Path, help="holds the broker's password alone")
    parser.add_argument("--site", default="", help="whose machine it is, in the broker's topics")
    parser.add_argument(
        "--send-sound", metavar="TOPIC", help="send clips to the broker, too, as FLAC"
    )
    parser.add_argument(
        "--spool", type=Path, metavar="DIR", help="where waits what nobody took; it is sent later"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a clip")
    parser.add_argument("--info", action="store_true", help="say what the model is")
    return parser


if __name__ == "__main__":
    main()

"""Running it: settings, check, backup and restore, retention, migrations."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from thrum.cli.main import app
from thrum.errors import ConfigError, StorageError, ThrumError, UsageError
from thrum.service import backup, serving
from thrum.service.config import RetentionSettings, Settings, load
from thrum.service.store.database import Database
from thrum.service.store.schema import clips, metadata
from thrum.service.watching import Watched
from watched import MACHINE, MakeService, Sounds, bring, judge_all, view


def toml(folder: Path, run: Path, more: str = "") -> Path:
    path = folder / "monitor.toml"
    path.write_text(
        f'[service]\nfolder = "monitor"\nleast_free_mb = 1\n[[machines]]\nname = "{MACHINE}"\nrun = "{run}"\n'
        f'[[inputs]]\nname = "folder"\nmachine = "{MACHINE}"\nkind = "folder"\nfolder = "in"\n{more}'
    )
    return path


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("colour = 1", "unknown setting 'colour'"),
        ('every = "often"', "'often'"),
        ("hop_seconds = -1", "hop_seconds is -1.0, wanted more than 0"),
        (
            '[[inputs]]\nname = "a"\nmachine = "b"\nkind = "http"',
            "hears the machine 'b', wanted one of",
        ),
        ('[[inputs]]\nname = "folder"\nmachine = "machine0/id_00"\nkind = "http"', "given twice"),
        ('[[inputs]]\nname = "a"\nmachine = "machine0/id_00"\nkind = "radio"', "'radio'"),
        (  # what only the demonstration has is neither taken nor offered
            '[[inputs]]\nname = "a"\nmachine = "machine0/id_00"\nkind = "simulated"',
            "got 'simulated', wanted one of 'folder', 'http', 'mqtt', 'stream', 'microphone'",
        ),
        ('[[inputs]]\nname = "a"\nmachine = "machine0/id_00"\nkind = "stream"', "has no address"),
        (
            '[[inputs]]\nname = "a"\nmachine = "machine0/id_00"\nkind = "mqtt"\ntopic = "a"',
            "add [mqtt]",
        ),
        ('[[webhooks]]\nurl = "ftp://x"', "'ftp://x', wanted http://"),
        ('[mqtt]\nhost = "a"\nport = 0', "mqtt port is 0"),
    ],
)
def test_settings_that_are_wrong_are_named(tmp_path: Path, run: Path, more: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(toml(tmp_path, run, more))
    assert said in str(error.value)


def test_a_machine_that_the_run_does_not_know_is_told_what_to_set(
    tmp_path: Path, run: Path
) -> None:
    settings = load(toml(tmp_path, run))
    with pytest.raises(
        ConfigError, match=r"'hum' cannot be watched as 'hum' \(learnt_as .*machine0/id_00"
    ):
        Watched(replace(settings.machines[0], name="hum"))
    assert (
        Watched(replace(settings.machines[0], name="hum", learnt_as=MACHINE)).monitor.name
        == MACHINE
    )


def test_paths_are_relative_to_the_settings(tmp_path: Path, run: Path) -> None:
    settings = load(toml(tmp_path, run))
    assert settings.service.folder == tmp_path / "monitor"
    assert settings.inputs[0].folder == tmp_path / "in"


def test_check_says_what_is_not_well(tmp_path: Path, run: Path) -> None:
    path = toml(tmp_path, run, '[mqtt]\nhost = "127.0.0.1"\nport = 1')
    done = CliRunner().invoke(app, ["monitor", "check", "--config", str(path), "--json"])
    assert done.exit_code == 1
    found = {each["what"]: each["well"] for each in json.loads(done.stdout)}
    assert found == {
        "folder and disk": True,
        "database": True,
        f"machine {MACHINE}": True,
        "input folder": False,
        "mqtt": False,
    }
    (tmp_path / "in").mkdir()
    done = CliRunner().invoke(app, ["monitor", "check", "--config", str(toml(tmp_path, run))])
    assert done.exit_code == 0
    assert "at most one false alarm in 60,480 clips" in done.stdout


def test_without_words_it_says_what_to_say() -> None:
    done = CliRunner().invoke(app, ["monitor"])
    assert isinstance(done.exception, ThrumError)
    assert "--demo" in str(done.exception)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thrum.cli.monitor.NEEDED", ("sqlalchemy", "no_such_thing"))
    done = CliRunner().invoke(app, ["monitor", "--demo"])
    assert "pip install 'thrum[monitor]'" in str(done.exception)


def test_a_copy_made_while_it_runs_brings_all_back(
    make_service: MakeService, settings: Settings, sounds: Sounds, tmp_path: Path
) -> None:
    from dataclasses import replace

    service = make_service()
    bring(service, sounds("wwffffff"))
    judge_all(service)
    before = view(service)
    assert before.state == "alarm"
    backup.back_up(settings, tmp_path / "copy.tar.gz")
    with pytest.raises(StorageError, match="another thrum monitor"):
        backup.restore(settings, tmp_path / "copy.tar.gz")
    service.stop()
    with pytest.raises(StorageError, match="holds a database already"):
        backup.restore(settings, tmp_path / "copy.tar.gz")
    elsewhere = replace(settings, service=replace(settings.service, folder=tmp_path / "new"))
    backup.restore(elsewhere, tmp_path / "copy.tar.gz")
    again = make_service(service=elsewhere.service)
    assert view(again) == before
    with again.database.reading() as connection:
        kept = select(clips.c.path).where(clips.c.kept)
        assert all((again.audio / name).is_file() for name in connection.execute(kept).scalars())
    postgresql = replace(settings.service, database="postgresql+psycopg://x@localhost/x")
    with pytest.raises(UsageError, match="pg_restore"):
        backup.restore(replace(settings, service=postgresql), tmp_path / "copy.tar.gz")
    (tmp_path / "torn.tar.gz").write_bytes((tmp_path / "copy.tar.gz").read_bytes()[:500])
    with pytest.raises(StorageError, match="no whole copy"):
        third = replace(settings, service=replace(settings.service, folder=tmp_path / "third"))
        backup.restore(third, tmp_path / "torn.tar.gz")


def test_audio_is_thinned_but_for_that_of_alarms(
    make_service: MakeService, sounds: Sounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service(
        retention=RetentionSettings(audio_days=1, around_alarm=2, one_of=5, thinned_days=10)
    )
    bring(service, sounds("w" * 12 + "f" * 8))
    judge_all(service)
    assert service.retention.once() == 0

    def there() -> set[int]:
        with service.database.reading() as connection:
            rows = connection.execute(select(clips.c.id, clips.c.path)).all()
        on_disk = {row.id for row in rows if row.path and (service.audio / row.path).is_file()}
        assert on_disk == {row.id for row in rows if row.path}
        return on_disk

    with service.database.reading() as connection:
        kept = set(connection.execute(select(clips.c.id).where(clips.c.kept)).scalars())
    assert len(kept) == 5  # the one of the alarm, two before and two after
    now = service.intake.now()
    monkeypatch.setattr(service.retention, "now", lambda: now + 2 * 86400)
    service.retention.once()
    assert there() == kept | {5, 10, 15, 20}
    monkeypatch.setattr(service.retention, "now", lambda: now + 11 * 86400)
    service.retention.once()
    assert there() == kept
    alone = service.audio / "2020-01-01" / "aa" / "left.flac"
    alone.parent.mkdir(parents=True)
    alone.write_bytes(b"")
    assert service.retention.sweep() == 1


def test_migrations_lead_to_the_schema_of_today(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database = Database(tmp_path / "a.sqlite")
    with database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
    database.close()


def test_a_database_of_a_later_version_is_refused(tmp_path: Path) -> None:
    from sqlalchemy import text

    database = Database(tmp_path / "a.sqlite")
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    database.close()
    with pytest.raises(StorageError, match="later version"):
        Database(tmp_path / "a.sqlite")
    with pytest.raises(ConfigError, match="wanted for instance"):
        Database("nonsense")


def test_sigterm_ends_the_service_in_order(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = make_service()

    class Listening:
        def run(self) -> None:
            signal.raise_signal(signal.SIGTERM)  # as uvicorn does when it has ended

    monkeypatch.setattr(serving.application, "create", lambda _: None)
    monkeypatch.setattr(serving, "server", lambda *_, **__: Listening())
    before = signal.getsignal(signal.SIGTERM)
    serving.serve(service, announce=lambda: None)
    assert service.ended.is_set()
    assert signal.getsignal(signal.SIGTERM) == before
    make_service()  # its folder is free again

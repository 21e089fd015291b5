"""What the engine may do on this machine, written into the kit's ``local`` folder before it starts.

A job brings names, never code: only the four classes listed here may be built, and code of a job's
own is refused whoever submits it. A site streams no logs to the server. Job storage lies in the
server's own kit instead of a shared temporary folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thrum import storage
from thrum.federation.flare.kit import Kit

CONTROLLER = "nvflare.collab.runtime.controller.CollabController"
EXECUTOR = "nvflare.collab.runtime.executor.CollabExecutor"
SERVER_ENDPOINT = "thrum.federation.flare.endpoints.ServerEndpoint"
SITE_ENDPOINT = "thrum.federation.flare.endpoints.SiteEndpoint"

SILENT_SECONDS = 600
"""A site that the server has not heard of for so long is given up, and the round stops; one that
comes back earlier goes on."""

_APP = "nvflare.app_common"
_STORAGE = f"{_APP}.storages.filesystem_storage.FilesystemStorage"

_RIGHTS = {
    "format_version": "1.0",
    "permissions": {
        "lead": {
            "submit_job": "any",
            "manage_job": "n:submitter",
            "view": "any",
            "operate": "o:site",
            "report_resources": "any",  # how many new clips there are
            "byoc": "none",
        }
    },
}


def write_policy(kit: Kit, *, log: Path) -> None:
    """Write the engine's local settings of a server or a site; its processes append to `log`."""
    local = kit.folder / "local"
    resources = _server(kit) if kit.role == "server" else _site()
    resources |= {
        "format_version": 2,
        "class_list_enforcement_mode": "enforce",
        "class_allow_list": [CONTROLLER, EXECUTOR, SERVER_ENDPOINT, SITE_ENDPOINT],
    }
    storage.write_json(local / "resources.json", resources)
    storage.write_json(local / "authorization.json", _RIGHTS)
    storage.write_json(local / "log_config.json", _logging(log))


def _logging(log: Path) -> dict[str, Any]:
    formatter = "nvflare.fuel.utils.log_utils.BaseFormatter"
    line = {"()": formatter, "fmt": "%(asctime)s %(levelname)s %(name)s: %(message)s"}
    handler = {"class": "logging.FileHandler", "formatter": "line", "filename": str(log)}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": line},
        "handlers": {"logFileHandler": handler},
        "loggers": {"root": {"level": "INFO", "handlers": ["logFileHandler"]}},
    }


def _server(kit: Kit) -> dict[str, Any]:
    snapshots = {"root_dir": str(kit.folder / "snapshots"), "uri_root": "/"}
    jobs = {"uri_root": str(kit.folder / "jobs"), "job_store_id": "job_store"}
    return {
        "servers": [
            {
                "admin_storage": "transfer",
                "max_num_clients": 1000,
                "heart_beat_timeout": SILENT_SECONDS,
                "download_job_url": "",
                "admin_timeout": 10.0,
            }
        ],
        "snapshot_persistor": {
            "path": f"{_APP}.state_persistors.storage_state_persistor.StorageStatePersistor",
            "args": {"uri_root": "/", "storage": {"path": _STORAGE, "args": snapshots}},
        },
        "components": [
            {
                "id": "job_scheduler",
                "path": f"{_APP}.job_schedulers.job_scheduler.DefaultJobScheduler",
                "args": {"max_jobs": 1},
            },
            {
                "id": "job_manager",
                "path": "nvflare.apis.impl.job_def_manager.SimpleJobDefManager",
                "args": jobs,
            },
            {"id": "job_store", "path": _STORAGE},
            {
                "id": "process_launcher",
                "path": "thrum.federation.flare.launching.ServerLauncher",
            },
        ],
    }


def _site() -> dict[str, Any]:
    return {
        "allow_log_streaming": False,
        "client": {"retry_timeout": 30},
        "components": [
            {
                "id": "resource_manager",
                "path": "thrum.federation.flare.resources.SiteResources",
            },
            {
                "id": "resource_consumer",
                "path": f"{_APP}.resource_consumers.gpu_resource_consumer.GPUResourceConsumer",
            },
            {
                "id": "process_launcher",
                "path": "thrum.federation.flare.launching.SiteLauncher",
            },
        ],
    }

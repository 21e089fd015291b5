"""How the engine starts a round's processes: from paths that may hold spaces, ended with its own.

It writes a command line and splits it again, without quoting what stands in it.
"""

from __future__ import annotations

import os
import shlex
from typing import Any

from nvflare.apis.fl_constant import FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.job_launcher_spec import JobProcessArgs
from nvflare.app_common.job_launcher.client_process_launcher import ClientProcessJobLauncher
from nvflare.app_common.job_launcher.server_process_launcher import ServerProcessJobLauncher

from thrum.federation.flare.process import PROCESS

_PATHS = (JobProcessArgs.WORKSPACE, JobProcessArgs.STARTUP_DIR, JobProcessArgs.APP_ROOT)


class SiteLauncher(ClientProcessJobLauncher):  # type: ignore[misc]
    """Starts a site's process of a round."""

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> str:
        """Return the command line of the process."""
        _amend(fl_ctx)
        return str(super().get_command(job_meta, fl_ctx))


class ServerLauncher(ServerProcessJobLauncher):  # type: ignore[misc]
    """Starts the server's process of a round."""

    def get_command(self, job_meta: dict[str, Any], fl_ctx: FLContext) -> str:
        """Return the command line of the process."""
        _amend(fl_ctx)
        return str(super().get_command(job_meta, fl_ctx))


def _amend(context: FLContext) -> None:
    """Quote the paths of the process that is about to be started, and have it watch whether we live."""
    arguments = dict(context.get_prop(FLContextKey.JOB_PROCESS_ARGS) or {})
    for name in _PATHS:
        if name in arguments:
            flag, path = arguments[name]
            arguments[name] = flag, shlex.quote(str(path))
    flag, module = arguments[JobProcessArgs.EXE_MODULE]
    arguments[JobProcessArgs.EXE_MODULE] = flag, f"{PROCESS} {os.getpid()} {module}"
    context.set_prop(FLContextKey.JOB_PROCESS_ARGS, arguments, private=True, sticky=False)

"""`rta status`: the address of an instance and the state of its parts."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from rtaplatform.cli.connections import JsonOption, find_folder
from rtaplatform.cli.recent_records import RecentRecords, describe_recent_records, list_warnings, read_recent_records
from rtaplatform.core.errors import Unavailable
from rtaplatform.core.server_addresses import mask_urls
from rtaplatform.local.data.instance_file import RunningInstance, is_locked, read_running
from rtaplatform.local.supervisor.readiness import read_readiness
from rtaplatform.settings import KafkaSettings, ProfilesSettings

EXIT_AWAY = 3


def command(
    data_dir: Annotated[Path | None, typer.Option(metavar="DIR", help="Of the instance.  [default: .rta]")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say where the instance of a data directory runs, and how its parts are. Exit code 3 if none is ready.

    It shows the records of the last 5 minutes, and warns if over 1 % of them are dead letters.

    Examples:

        rta status

        rta status --data-dir /srv/rta --json
    """
    folder = find_folder(data_dir)
    state = read_state(folder)
    print(json.dumps(state, indent=1) if as_json else _as_text(state))
    if state["state"] != "ready":
        raise typer.Exit(EXIT_AWAY)


def read_state(folder: Path) -> dict[str, Any]:
    """The state of the instance, without secrets."""
    instance = read_running(folder)
    if instance is None:
        return {"state": "starting" if is_locked(folder) else "stopped", "data_dir": str(folder)}
    readiness, recent = read_readiness(instance.url), read_recent_records(instance.signals)
    return {
        "state": "ready" if readiness.is_ready else "not ready",
        "degraded": list(readiness.degraded),
        "problems": [*readiness.problems, *list_warnings(recent)],
        "data_dir": str(folder),
        "url": instance.url,
        "started_at": instance.started_at,
        "kafka": instance.addresses.kafka,
        "redis": mask_urls(instance.addresses.redis),
        "postgres": mask_urls(instance.addresses.postgres),
        "profiles_lag_records": _read_profiles_lag(instance.addresses.kafka),
        "last_5_minutes": None if recent is None else asdict(recent),
        "processes": _list_processes(instance),
        "signals": {"api": f"{instance.url}/metrics", **instance.signals},
    }


def _read_profiles_lag(bootstrap_servers: str) -> int | None:
    """The number of records that `rta profiles` has still to read. None if Kafka does not answer."""
    from rtaplatform.wiring.profiles import count_unread_records

    try:
        return count_unread_records(KafkaSettings(bootstrap_servers=bootstrap_servers), ProfilesSettings().group_id)
    except Unavailable:
        return None


def _list_processes(instance: RunningInstance) -> list[dict[str, Any]]:
    return [_describe_process(name, pid) for name, pid in {"supervisor": instance.pid, **instance.children}.items()]


def _describe_process(name: str, pid: int) -> dict[str, Any]:
    try:
        process = psutil.Process(pid)
        family = [process, *(process.children(recursive=True) if name != "supervisor" else [])]
        return {"name": name, "pid": pid, "memory_mb": round(sum(map(_read_memory, family)) / 1e6, 1)}
    except psutil.Error:
        return {"name": name, "pid": pid, "memory_mb": None}


def _read_memory(process: psutil.Process) -> int:
    """The proportional memory of a process: shared pages are divided among the processes that use them."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.Error, AttributeError):
        return int(process.memory_info().rss)


def _as_text(state: dict[str, Any]) -> str:
    degraded = f", degraded ({', '.join(state['degraded'])})" if state.get("degraded") else ""
    lines = [f"{state['state']}{degraded}: {state['data_dir']}"]
    lines += [f"  ! {problem}" for problem in state.get("problems", ())]
    lines += [
        f"  {name:12}{state[name]}" for name in ("url", "kafka", "redis", "postgres", "started_at") if name in state
    ]
    if state.get("profiles_lag_records") is not None:
        lines.append(f"  {'profiles':12}{state['profiles_lag_records']} records to read")
    if state.get("last_5_minutes") is not None:
        lines.append(f"  {'records':12}{describe_recent_records(RecentRecords(**state['last_5_minutes']))}")
    for process in state.get("processes", ()):
        memory = f"{process['memory_mb']:8.1f} MB" if process["memory_mb"] is not None else "   ended"
        lines.append(f"  {process['name']:12}{process['pid']:>9}{memory}")
    lines += [f"  signals of {name:10}{url}" for name, url in state.get("signals", {}).items()]
    return "\n".join(lines)

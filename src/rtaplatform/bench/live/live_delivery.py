"""How long from an accepted event to every live client: many clients, beside stalled ones, and after a restart?

Streams and sockets ask ten questions. Each probe is an event that all of these count. The delay is that between the
collector's answer and the moment when a client has read the new total. Then clients join that read nothing, with a
question of large answers. At last the API is killed, and the supervisor starts it again.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import time

import httpx
import psutil

from rtaplatform.bench.latency import keep_producing
from rtaplatform.bench.live.live_crowd import LiveCrowd
from rtaplatform.bench.live.phase_cost import describe_cost, read_cost
from rtaplatform.bench.live.stalled_clients import open_stalled
from rtaplatform.bench.report import BenchReport, find_percentiles_ms
from rtaplatform.bench.stack import BenchStack, run_in_background, running_supervised_stack, say
from rtaplatform.local.supervisor.supervisor import Supervisor

ARRIVAL_SECONDS_MAX = 60.0
GONE_SECONDS_MAX = 90.0
BACK_SECONDS_MAX = 120.0
MEGABYTE = 2**20


def measure(
    report: BenchReport, *, streams: int, sockets: int, stalled: int, rate: float, probes: int, seed: int
) -> None:
    with (
        running_supervised_stack(workers=1) as (stack, supervisor),
        run_in_background(keep_producing, stack, rate, seed),
    ):
        asyncio.run(LiveMeasurement(stack, report, probes).run(streams, sockets, stalled, supervisor))


class LiveMeasurement:
    """One run: the clients, and the probes that were accepted."""

    def __init__(self, stack: BenchStack, report: BenchReport, probes: int) -> None:
        self._stack, self._report, self._probes = stack, report, probes
        self._event, self._probes_sent = f"Probe {secrets.token_hex(4)}", 0
        self._crowd = LiveCrowd(stack.url, stack.keys.read_key, self._event)
        self._collector = httpx.Client(headers={"Authorization": f"Bearer {stack.keys.write_key}"}, timeout=30)

    async def run(self, streams: int, sockets: int, stalled: int, supervisor: Supervisor) -> None:
        say(f"Opening {streams:,} streams and {sockets:,} sockets")
        start_s = time.perf_counter()
        await self._crowd.open(streams, sockets)
        self._report.add_row(streams=streams, sockets=sockets, opened_s=round(time.perf_counter() - start_s, 1))
        await self._report_probes("healthy")
        if stalled:
            await self._measure_stalled(stalled)
        await self._measure_restart(supervisor)
        await self._crowd.close()

    async def _report_probes(self, phase: str, **facts: int) -> None:
        start = read_cost(self._stack.url, self._stack.pids)
        delays = await self._send_probes()
        cost = describe_cost(start, read_cost(self._stack.url, self._stack.pids))
        self._report.add_row(phase=phase, **facts, **find_percentiles_ms(delays), **cost)

    async def _send_probes(self) -> list[float]:
        """Send probes one after the other. Returns the delays of all clients, in seconds."""
        delays: list[float] = []
        for _ in range(self._probes):
            await asyncio.sleep(random.uniform(0.1, 0.4))  # at any moment of the hub's ticks
            accepted_at = await asyncio.to_thread(self._send_probe)
            delays += [
                at - accepted_at for at in await self._crowd.wait_arrived(self._probes_sent, ARRIVAL_SECONDS_MAX)
            ]
        return delays

    def _send_probe(self) -> float:
        body = {"event": self._event, "anonymousId": secrets.token_hex(6)}
        self._collector.post(f"{self._stack.url}/v1/track", json=body).raise_for_status()
        self._probes_sent += 1
        return time.perf_counter()

    async def _measure_stalled(self, number: int) -> None:
        say(f"Adding {number:,} clients that read nothing")
        process = psutil.Process(self._stack.pids["api"])
        memory, files = process.memory_info().rss, process.num_fds()
        are_open = asyncio.Event()
        watch = asyncio.create_task(_watch_until_gone(process, files + number // 20, are_open))
        start_s = time.perf_counter()
        clients = await asyncio.to_thread(open_stalled, self._stack.url, self._crowd, number)
        opened_s = time.perf_counter()
        are_open.set()
        await self._report_probes("beside stalled", stalled=number)
        gone_s, peak = await watch
        self._report.add_row(
            stalled_opened_s=round(opened_s - start_s, 1),
            gone_after_that_s=round(gone_s - opened_s, 1),
            memory_growth_mb=round((peak - memory) / MEGABYTE, 1),
        )
        for client in clients:
            client.close()

    async def _measure_restart(self, supervisor: Supervisor) -> None:
        say("Killing the API")
        os.kill(self._stack.pids["api"], signal.SIGKILL)
        start_s = time.perf_counter()
        self._crowd.connected.clear()
        await asyncio.to_thread(_wait_until_ready, self._stack.url, supervisor)
        ready_s = time.perf_counter()
        async with asyncio.timeout(BACK_SECONDS_MAX):
            await self._crowd.wait_connected()
        back_s = time.perf_counter()
        self._report.add_row(
            phase="restart", ready_s=round(ready_s - start_s, 1), all_back_after_ready_s=round(back_s - ready_s, 1)
        )


async def _watch_until_gone(process: psutil.Process, files: int, are_open: asyncio.Event) -> tuple[float, int]:
    """Watch until the process has as few files open again. Returns when that was, and its greatest memory meanwhile."""
    peak, end_s = 0, time.perf_counter() + GONE_SECONDS_MAX
    while (not are_open.is_set() or process.num_fds() > files) and time.perf_counter() < end_s:
        peak = max(peak, process.memory_info().rss)
        await asyncio.sleep(0.25)
    return time.perf_counter(), max(peak, process.memory_info().rss)


def _wait_until_ready(url: str, supervisor: Supervisor) -> None:
    for _ in supervisor.tick(BACK_SECONDS_MAX):  # the supervisor starts the API again
        try:
            if httpx.get(f"{url}/health/ready", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            continue

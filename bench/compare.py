"""The same load on each of several servers in turn: first their answers are compared, then their speed.

Each round goes through all peers, in an order that turns round from one to the next, so that a machine that slows down or is
disturbed does it to all of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import processes
from bench.load import STALLED_S, Exchange, Plan, request
from bench.peers import Serving, Target
from bench.pinning import on
from bench.processes import CannotMeasure
from bench.results import CPU, P50, P99, RATE, Sample, Side
from bench.room import Room
from bench.stats import CURVE


def exchanges(servings: dict[str, Serving], bodies: Sequence[bytes]) -> dict[str, list[Exchange]]:
    """For each peer, its requests and the answers that it is held to from now on.

    :raises CannotMeasure: a peer refuses a body, or the peers' answers are not the same JSON value.
    """
    found = {}
    for name, serving in servings.items():
        target = serving.target
        answers = [ask(name, target, body) for body in bodies]
        found[name] = [
            Exchange(request(target, target.path, body), answer) for body, answer in zip(bodies, answers, strict=True)
        ]
    first, *others = found
    for other in others:
        for ours, theirs in zip(found[first], found[other], strict=True):
            if json.loads(ours.answer) != json.loads(theirs.answer):
                raise CannotMeasure(f"{first} and {other} answer differently: {ours.answer!r} and {theirs.answer!r}")
    return found


def ask(name: str, target: Target, body: bytes) -> bytes:
    url = f"http://{target.host}:{target.port}{target.path}"
    headers = {"Content-Type": "application/json", **target.headers}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=STALLED_S) as response:
            return bytes(response.read())
    except urllib.error.HTTPError as error:
        raise CannotMeasure(f"{name} answered {error.code}: {error.read().decode(errors='replace')}") from None


def closed_loop(
    servings: dict[str, Serving], found: dict[str, list[Exchange]], connections: int, room: Room
) -> list[Side]:
    """Every round of every peer under that many connections."""
    sides = {name: Side(name) for name in servings}
    for number in range(room.pace.rounds):
        order = list(servings) if number % 2 == 0 else list(reversed(servings))
        for name in order:
            sides[name].samples.append(measure(servings[name], found[name], connections, room))
    return list(sides.values())


def measure(serving: Serving, found: Sequence[Exchange], connections: int, room: Room) -> Sample:
    """One round of one peer.

    :raises CannotMeasure: the load generator failed: a connection was closed, or nothing came for long.
    """
    target, pace = serving.target, room.pace
    plan = Plan(target.host, target.port, connections, pace.warm_up, pace.seconds, found)
    argv = [sys.executable, "-m", "bench.load"]
    cwd = Path(__file__).resolve().parents[1]
    with (
        on(room.pinning.generator),
        subprocess.Popen(argv, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as generator,
    ):
        assert generator.stdin is not None
        assert generator.stdout is not None
        generator.stdin.write(plan.to_json())
        generator.stdin.close()
        generator.stdout.readline()
        before = processes.cpu_seconds(serving.pid, serving.part)
        line = generator.stdout.readline()
        after = processes.cpu_seconds(serving.pid, serving.part)
    if generator.returncode:
        raise CannotMeasure("the load generator failed; its error is above")
    return _sample(json.loads(line), {part: after[part] - before.get(part, 0.0) for part in after})


def _sample(outcome: dict[str, Any], cpu: dict[str, float]) -> Sample:
    requests, seconds = outcome["requests"], outcome["seconds"]
    if not requests:
        raise CannotMeasure("not one request was answered while it was measured")
    latency = dict(zip(CURVE, outcome["curve_ms"], strict=True))
    parts = {part: used / requests * 1000 for part, used in cpu.items()}
    values = {
        RATE.key: requests / seconds,
        P50.key: latency[50.0],
        P99.key: latency[99.0],
        CPU.key: sum(parts.values()),
    }
    generator_cpu = outcome["cpu_seconds"] / seconds
    return Sample(values, requests, outcome["errors"], generator_cpu, tuple(latency.values()), parts)

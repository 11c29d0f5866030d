"""Run as a program: an actor takes memory until Ray ends it; prints what is said of its death."""

from __future__ import annotations

import asyncio
import os
import time

import psutil

#: Ray ends processes when this much more is used than now; the actor stops at MOST_BYTES of its own accord.
ROOM_BYTES = 1_500_000_000
MOST_BYTES = 6_000_000_000
CHUNK_BYTES = 64 << 20


def main() -> None:
    memory = psutil.virtual_memory()
    used = memory.total - memory.available
    os.environ |= {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_memory_usage_threshold": f"{(used + ROOM_BYTES) / memory.total:.4f}",
        "RAY_memory_monitor_refresh_ms": "100",
        "RAY_raylet_start_wait_time_s": "120",
    }
    import ray
    from ray.exceptions import ActorUnavailableError, RayError

    from serve_app.deaths import how_it_died

    ray.init(address="local", num_cpus=1, include_dashboard=False, object_store_memory=100 << 20)

    class Hog:
        def eat(self) -> None:
            eaten = []
            while len(eaten) * CHUNK_BYTES < MOST_BYTES:
                eaten.append(b"\x01" * CHUNK_BYTES)
                time.sleep(0.02)

    hog = ray.remote(max_restarts=0)(Hog).remote()
    try:
        ray.get(hog.eat.remote(), timeout=60)
    except RayError as error:
        print("called directly:", asyncio.run(how_it_died(error)))
    # What Serve raises, whose calls go over gRPC.
    broken = ActorUnavailableError("the connection broke", hog._actor_id.binary())
    print("called over gRPC:", asyncio.run(how_it_died(broken)))
    ray.kill(other := ray.remote(max_restarts=0)(Hog).remote())
    gone = ActorUnavailableError("the connection broke", other._actor_id.binary())
    print("killed otherwise:", asyncio.run(how_it_died(gone)))
    ray.shutdown()


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""The rows of bench/rows.lua that are about tasks, in Python's asyncio.

    python3 aio.py list
    python3 aio.py ROW [SCALE]

A row prints one or more lines: name figure [live_bytes rss_bytes].
"""

import asyncio
import gc
import resource
import sys
import time

GROUP_TASKS = 10
FAILING = 5
# A tenth of what the row says: a million would take this peer half a minute a run.
PARKED_TASKS = 100_000

scale = 1.0


def scaled(n):
    return max(1, int(n * scale))


def show(name, spent_ns, ops, *more):
    print(name, f"{spent_ns / ops:.2f}", *more)


async def per_op(name, n, work):
    n = scaled(n)
    await work(max(1, n // 10))
    start = time.process_time_ns()
    await work(n)
    show(name, time.process_time_ns() - start, n)


async def group_of_one():
    async def task():
        pass

    async def work(n):
        for _ in range(n):
            async with asyncio.TaskGroup() as group:
                group.create_task(task())

    await per_op("W7", 30_000, work)


async def fan_out(name, task):
    async def work(n):
        for _ in range(n):
            failed = False
            try:
                async with asyncio.TaskGroup() as group:
                    for i in range(GROUP_TASKS):
                        group.create_task(task(i))
            except* ZeroDivisionError:
                failed = True
            assert failed

    await per_op(name, 5_000, work)


async def group_arguments():
    async def task(i):
        await asyncio.sleep(0)
        if i == FAILING:
            raise ZeroDivisionError("the task failed")

    await fan_out("W8.args", task)


async def group_closures():
    def closure(i):
        async def task():
            await asyncio.sleep(0)
            if i == FAILING:
                raise ZeroDivisionError("the task failed")
        return task()

    await fan_out("W8.closures", closure)


async def group_parked():
    never = asyncio.Event()

    async def task(i):
        await asyncio.sleep(0)
        if i == FAILING:
            raise ZeroDivisionError("the task failed")
        await never.wait()

    await fan_out("W8b", task)


def resident_bytes():
    gc.collect()
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


async def parked():
    n = scaled(PARKED_TASKS)
    end = asyncio.Event()
    waiting = 0

    async def task():
        nonlocal waiting
        waiting += 1
        await end.wait()

    before = resident_bytes()
    start = time.process_time_ns()
    tasks = [asyncio.create_task(task()) for _ in range(n)]
    while waiting < n:
        await asyncio.sleep(0)
    spent = time.process_time_ns() - start
    show("W9.park", spent, n, "-", (resident_bytes() - before) // n)
    start = time.process_time_ns()
    end.set()
    await asyncio.wait(tasks)
    show("W9.drain", time.process_time_ns() - start, n)


ROWS = {
    "W7": group_of_one,
    "W8.closures": group_closures,
    "W8.args": group_arguments,
    "W8b": group_parked,
    "W9": parked,
}

if __name__ == "__main__":
    if not hasattr(asyncio, "TaskGroup"):
        sys.exit("asyncio.TaskGroup came with Python 3.11")
    if sys.argv[1] == "list":
        print("\n".join(ROWS))
    else:
        scale = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
        asyncio.run(ROWS[sys.argv[1]]())

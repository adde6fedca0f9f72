"""Work that processes share on a folder: nothing twice, nothing lost."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter

import pytest

from ssl_keras.experiments import queue as queues
from ssl_keras.experiments.queue import Queue

NAMES = [f"item{number}" for number in range(12)]
WORKER = """
import sys, time
from pathlib import Path
from ssl_keras.experiments.queue import Queue
folder, pause = Path(sys.argv[1]), float(sys.argv[2])

def do(name):
    with open(folder / "log", "a") as log:
        log.write(f"{name}\\n")
    time.sleep(pause)
    return {"item": name, "square": int(name[4:]) ** 2}

for name, result in Queue(folder, [f"item{n}" for n in range(12)]).work(do):
    print(name, flush=True)
"""


def start(folder, pause):
    return subprocess.Popen([sys.executable, "-c", WORKER, str(folder), str(pause)], stdout=subprocess.PIPE, text=True)


def leases_in(folder):
    return list((folder / "leases").glob("[!.]*"))


def begun(folder):
    log = folder / "log"
    return log.read_text().split() if log.exists() else []


def test_items_are_done_in_order_and_once(tmp_path):
    done = []

    def do(name):
        done.append(name)
        return {"name": name}

    queue = Queue(tmp_path, NAMES)
    assert [name for name, _ in queue.work(do)] == NAMES == done
    assert list(queue.work(do)) == [] and queue.results() == [{"name": name} for name in NAMES]
    assert not leases_in(tmp_path)


def test_a_failure_is_kept_with_its_reason_and_can_be_tried_again(tmp_path):
    def do(name):
        if name == "item1":
            raise ValueError("does not\nfit")
        return {}

    queue = Queue(tmp_path, NAMES[:3])
    assert dict(queue.work(do)) == {"item0": {}, "item1": None, "item2": {}}
    assert queue.failures() == {"item1": "ValueError: does not fit"}
    assert "raise ValueError" in json.loads(queue.failed("item1").read_text())["traceback"]
    assert list(queue.work(do)) == []
    queue.forget_failures()
    assert [name for name, _ in queue.work(lambda name: {})] == ["item1"] and not queue.failures()


@pytest.mark.parametrize("fault", [KeyboardInterrupt, MemoryError, OSError])
def test_what_is_no_fault_of_the_item_ends_the_work_and_gives_the_item_back(tmp_path, fault):
    def do(name):
        raise fault

    queue = Queue(tmp_path, NAMES)
    with pytest.raises(fault):
        list(queue.work(do))
    assert queue.open_items() == NAMES and not queue.failures() and not leases_in(tmp_path)


def test_processes_share_the_items_and_do_none_twice(tmp_path):
    workers = [start(tmp_path, 0.05) for _ in range(3)]
    said = [worker.communicate(timeout=60)[0].split() for worker in workers]
    assert Counter(name for names in said for name in names) == Counter(NAMES) == Counter(begun(tmp_path))
    assert [row["square"] for row in Queue(tmp_path, NAMES).results()] == [n**2 for n in range(12)]


def test_killed_processes_lose_no_finished_item_and_others_take_theirs(tmp_path):
    for _ in range(3):
        worker = start(tmp_path, 0.3)
        before = len(begun(tmp_path))
        while len(begun(tmp_path)) < before + 2:
            time.sleep(0.01)
        finished = {path.name: path.read_bytes() for path in (tmp_path / "finished").glob("*.json")}
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert all((tmp_path / "finished" / name).read_bytes() == held for name, held in finished.items())
    last = start(tmp_path, 0)
    last.communicate(timeout=60)
    assert [row["square"] for row in Queue(tmp_path, NAMES).results()] == [n**2 for n in range(12)]
    # Each kill cost the item at hand, and no other was done twice.
    assert len(begun(tmp_path)) <= len(NAMES) + 3


@pytest.mark.parametrize(("age", "taken"), [(queues.LEASE_S + 1, True), (queues.LEASE_S - 60, False)])
def test_a_lease_of_another_host_is_free_when_nobody_touched_it_for_long(tmp_path, age, taken):
    queue = Queue(tmp_path, NAMES[:1])
    lease = tmp_path / "leases" / "item0"
    lease.parent.mkdir()
    lease.write_text(json.dumps({"host": "elsewhere", "process": os.getpid()}))
    then = time.time() - age
    os.utime(lease, (then, then))
    assert bool(list(queue.work(lambda name: {}))) == taken


def test_a_lease_is_touched_while_its_item_is_done(tmp_path, monkeypatch):
    monkeypatch.setattr(queues, "HEARTBEAT_S", 0.02)
    queue = Queue(tmp_path, NAMES[:1])

    def do(name):
        lease = tmp_path / "leases" / name
        os.utime(lease, (0, 0))
        until = time.monotonic() + 20
        while lease.stat().st_mtime == 0 and time.monotonic() < until:
            time.sleep(0.01)
        return {"touched": lease.stat().st_mtime > 0}

    assert dict(queue.work(do)) == {"item0": {"touched": True}}


def test_of_many_that_find_a_lease_abandoned_one_takes_it(tmp_path):
    for name in NAMES:
        (tmp_path / "leases").mkdir(exist_ok=True)
        (tmp_path / "leases" / name).write_text(json.dumps({"host": socket.gethostname(), "process": 2**22 + 1}))
    workers = [start(tmp_path, 0.02) for _ in range(4)]
    for worker in workers:
        worker.communicate(timeout=60)
    assert Counter(begun(tmp_path)) == Counter(NAMES)


def test_a_lease_of_an_earlier_process_with_this_ones_number_is_free(tmp_path):
    (tmp_path / "leases").mkdir()
    (tmp_path / "leases" / "item0").write_text(json.dumps({"host": socket.gethostname(), "process": os.getpid()}))
    assert dict(Queue(tmp_path, NAMES[:1]).work(lambda name: {})) == {"item0": {}}


def test_a_lease_that_was_taken_away_is_not_given_back(tmp_path):
    lease = tmp_path / "leases" / "item0"

    def do(name):
        lease.write_text("another's")
        return {}

    list(Queue(tmp_path, NAMES[:1]).work(do))
    assert lease.read_text() == "another's"


def test_results_hold_what_was_once_asked_for_and_no_half_written_file(tmp_path):
    list(Queue(tmp_path, NAMES[:3]).work(lambda name: {"name": name}))
    (tmp_path / "finished" / ".writing-1-item9.json").write_text("{")
    assert [row["name"] for row in Queue(tmp_path, NAMES[1:2]).results()] == ["item1", "item0", "item2"]

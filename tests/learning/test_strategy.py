"""Names of strategies, what they need, and who is the chief."""

import json
from types import SimpleNamespace

import pytest

import ssl_keras as sk
from ssl_keras.experiments import devices
from ssl_keras.learning import distribution

HOSTS = ["one:1", "two:1"]


def told(monkeypatch, kind="worker", index=0, **jobs):
    cluster = jobs or {"worker": HOSTS}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}))


def test_an_unknown_name_lists_the_known():
    with pytest.raises(
        ValueError, match="unknown strategy 'mirror': choose one of auto, none, mirrored, multiworker, tpu"
    ):
        sk.strategy("mirror")


def test_one_device_is_the_default_here():
    assert sk.strategy("auto") is sk.strategy("none")


def test_a_tpu_that_is_not_there_names_the_remedy():
    with pytest.raises(ValueError, match=r"found no TPU 'local'.*pip install 'ssl_keras\[tpu\]'"):
        sk.strategy("tpu")


def test_several_workers_need_their_cluster(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match=r"needs TF_CONFIG .*`ssl-keras launch --workers N"):
        sk.strategy("multiworker")


@pytest.mark.parametrize("text", ["{", '{"task": {}}', "[]", '{"cluster": 3}'])
def test_a_cluster_that_cannot_be_read_is_shown_an_example(monkeypatch, text):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ValueError, match=r'TF_CONFIG is .* give JSON such as {"cluster"'):
        distribution.cluster_size()


@pytest.mark.parametrize(
    ("kind", "index", "jobs", "chief"),
    [
        ("worker", 0, {}, True),
        ("worker", 1, {}, False),
        ("chief", 0, {"chief": ["one:1"], "worker": ["two:1"]}, True),
        ("worker", 0, {"chief": ["one:1"], "worker": ["two:1"]}, False),
        ("worker", 0, {"worker": ["one:1"]}, True),
    ],
)
def test_the_chief_is_the_first(monkeypatch, kind, index, jobs, chief):
    told(monkeypatch, kind, index, **jobs)
    assert distribution.is_chief() == chief
    assert distribution.cluster_size() == sum(len(hosts) for hosts in (jobs or {"worker": HOSTS}).values())


def test_alone_one_is_the_chief(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert distribution.is_chief() and distribution.cluster_size() == 0


@pytest.mark.parametrize(
    ("batch", "message"), [(48, "give a batch of 64"), (50, "cannot be shared by 8 replicas"), (64, None)]
)
def test_where_views_are_made_in_the_step_a_share_is_a_multiple_of_four(monkeypatch, batch, message):
    monkeypatch.setattr(distribution, "makes_views", lambda among: True)
    among = SimpleNamespace(num_replicas_in_sync=8)
    if message is None:
        distribution.check_shared(batch, among)
    else:
        with pytest.raises(ValueError, match=message):
            distribution.check_shared(batch, among)


def test_a_strategy_that_knows_nothing_of_the_other_workers_is_refused(monkeypatch):
    told(monkeypatch)
    with pytest.raises(ValueError, match=r"would train as many networks: give --compute.strategy multiworker"):
        devices.start("none")

"""Names of strategies, what they need, and who is the chief."""

import json

import pytest

import ssl_keras as sk
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

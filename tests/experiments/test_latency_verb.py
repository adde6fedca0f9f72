"""``ssl-keras latency``: the table it leaves, and going on with it."""

import json
from dataclasses import replace

import pytest

import ssl_keras as sk
from ssl_keras import cli
from ssl_keras.architecture.latency import blocks_of
from ssl_keras.experiments import latency as verb
from ssl_keras.experiments.checks import ConfigError
from ssl_keras.experiments.options import Latency
from ssl_keras.experiments.settings import Search

SPACE = "conv_c4 | basic_r{0,1}_c4"


@pytest.mark.parametrize("device", ["graph", pytest.param("litert", marks=pytest.mark.slow)])
def test_every_block_is_measured_once(tmp_path, monkeypatch, capsys, device):
    config = Latency(SPACE, image_size=8, device=device, check=1, out=str(tmp_path / "table.json"))
    path = verb.run(config)
    table = verb.read_table(str(path))
    assert set(table.blocks) == set(blocks_of(sk.parse(SPACE), (8, 8, 3)))
    assert table.besides > 0 and all(taken >= 0 for taken in table.blocks.values())
    assert "predicted 1 networks" in " ".join(capsys.readouterr().out.split())
    monkeypatch.setattr(verb, "_block_seconds", None)
    cli.main(["latency", SPACE, "--image-size", "8", "--device", device, "--check", "0", "--out", str(path)])


def test_another_device_is_refused(tmp_path):
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"device": "a phone", "besides": 0.0, "blocks": {}}))
    with pytest.raises(ConfigError, match="latencies of a phone, not of graph"):
        verb.run(Latency(SPACE, device="graph", out=str(path)))


def test_a_search_asks_for_its_table(tmp_path):
    from ssl_keras.experiments.search import SearchSetup

    config = Search(data="digits", architecture=SPACE, latency=1.0, latency_table=str(tmp_path / "none.json"))
    with pytest.raises(ConfigError, match=r"no table of latencies at .*: make it with ssl-keras latency"):
        _ = SearchSetup(config).latency
    with pytest.raises(ConfigError, match="give --architecture"):
        _ = SearchSetup(replace(config, architecture="auto")).space


def test_the_lower_quartile_counts(monkeypatch):
    clock = iter(range(10_000))
    monkeypatch.setattr(verb.time, "perf_counter", lambda: next(clock) / 10)
    calls = []
    assert verb.seconds(lambda: calls.append(1)) == pytest.approx(0.1)
    assert len(calls) == 3 + verb.LEAST_CALLS

"""``ssl-keras search`` at the size of a test: what it leaves, going on, and what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import ssl_keras as sk
from ssl_keras.experiments import pretrain
from ssl_keras.experiments import search as verb
from ssl_keras.experiments.checks import ConfigError, amount_of
from ssl_keras.experiments.config_files import to_dict
from ssl_keras.experiments.settings import Compute, Heads, Pretrain, Search, Searching
from ssl_keras.learning.checkpoints import Checkpoints
from ssl_keras.reports.page import write_report

TINY = Search(
    data="digits",
    images=64,
    architecture="conv_c4 | basic_r{0,1}_c4 | basic_s2_c{4,8,12}",
    macs="40k",
    image_size=8,
    epochs=1,
    batch_size=16,
    heads=Heads(projector_hidden=8, projection=4, predictor_hidden=8),
    search=Searching(epochs=3, warmup=0.3, every=1),
)
KEPT = (
    "config.json",
    "metrics.jsonl",
    "probabilities.jsonl",
    "found.json",
    "slice",
    "checkpoint",
    "tensorboard",
)


class Killed(RuntimeError):
    """Stands for a process that ends."""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search without what comes after it."""
    folder = tmp_path_factory.mktemp("search") / "run" / "search"
    verb.search(verb.SearchSetup(TINY), folder)
    return folder


def test_the_handcrafted_baseline_ends_in_as_many_channels_as_what_was_found(searched: Path) -> None:
    found = json.loads((searched / "found.json").read_text())
    network = verb.baselines(verb.SearchSetup(TINY), found)["resnet18"]
    assert network.stages[-1].number("c") == sk.parse(found["architecture"]).stages[-1].number("c")


def test_the_folder_tells_what_was_found(searched: Path) -> None:
    assert {item.name for item in searched.iterdir()} >= set(KEPT)
    found = json.loads((searched / "found.json").read_text())
    space = sk.parse(found["space"])
    assert str(space.freeze(found["picks"])) == found["architecture"]
    assert found["cost"]["macs"] == sk.cost(found["architecture"], (8, 8, 3)).macs
    encoder = sk.load(searched / "slice")
    assert str(encoder.architecture) == found["architecture"]
    rows = [json.loads(line) for line in (searched / "probabilities.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [2, 4, 6]
    assert all(sum(chances) == pytest.approx(1, abs=1e-3) for row in rows for chances in row["probabilities"].values())
    told = [json.loads(line) for line in (searched / "metrics.jsonl").read_text().splitlines()][-1]
    assert {"expected_cost", "budget_share", "architecture_entropy", "absent_stages", "soft_loss", "hard_loss"} < set(
        told
    )


def test_a_search_that_was_cut_ends_as_if_it_had_not_been(
    searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Logits, their optimizer, weights and target all go on: the probabilities are the same to the bit."""
    saved = Checkpoints.on_epoch_end

    def killed_after_the_second(self: Checkpoints, epoch: int, logs: dict[str, float] | None = None) -> None:
        saved(self, epoch, logs)
        if epoch == 1:
            raise Killed

    setup = verb.SearchSetup(TINY)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_epoch_end", killed_after_the_second)
        with pytest.raises(Killed):
            verb.search(setup, tmp_path / "search")
    assert not (tmp_path / "search" / "found.json").exists()
    verb.search(setup, tmp_path / "search")
    for name in ("probabilities.jsonl", "found.json"):
        whole, cut = ((folder / name).read_text() for folder in (searched, tmp_path / "search"))
        if name == "found.json":
            whole, cut = ({**json.loads(text), "this_session_seconds": 0} for text in (whole, cut))
        assert whole == cut


def test_a_finished_search_is_not_run_again(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verb, "_search", None)
    assert verb.search(verb.SearchSetup(TINY), searched)["architecture"]
    with pytest.raises(ConfigError, match=r"search\.epochs = 3, not 5"):
        verb.search(verb.SearchSetup(replace(TINY, search=Searching(epochs=5))), searched)


@pytest.mark.slow
def test_the_whole_way(tmp_path: Path) -> None:
    out = verb.run(replace(TINY, out=str(tmp_path / "run")))
    rows = json.loads((out / "results.json").read_text())["rows"]
    judged = {row["encoder"] for row in rows}
    assert judged == {"pretrained", "from supernet", "resnet18", "random", "untrained", "raw pixels"}
    page = (out / "report.html").read_text()
    assert "How its architecture was found" in page and "from supernet" in page
    found = json.loads((out / "search" / "found.json").read_text())["architecture"]
    assert str(sk.load(out).architecture) == str(sk.load(out / "sliced").architecture) == found
    write_report(out)
    verb.run(replace(TINY, out=str(out)))  # nothing is left to do but to judge


def test_without_a_budget_one_is_proposed() -> None:
    with pytest.raises(ConfigError, match=r"needs a budget.* --macs 35\.5M"):
        _ = verb.SearchSetup(replace(TINY, macs=None, architecture="auto", image_size=64)).space
    with pytest.raises(ConfigError, match=r"needs a budget.*this space reaches from"):
        _ = verb.SearchSetup(replace(TINY, macs=None)).budget_or_proposal


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"params": "2M"}, "one budget"),
        ({"macs": "lots"}, "macs is 'lots'"),
        ({"macs": 0}, "macs is 0"),
        ({"minutes": 3.0, "epochs": "auto"}, "goes by epochs"),
        ({"init": "runs/other"}, "starts from new weights"),
        ({"baselines": ("resnet19",)}, "baselines"),
        ({"macs": None, "latency": 0.0}, "Search.latency is 0"),
        ({"search": Searching(order=2), "compute": Compute(precision="mixed_bfloat16")}, "16-bit"),
    ],
)
def test_bad_settings_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_size": 48}, "half of the 64 images .* do not fill it"),
        ({"search": Searching(label="nope")}, "nope"),
        ({"macs": "9G"}, "out of reach"),
        ({"architecture": "conv_c4"}, "nothing to decide"),
    ],
)
def test_what_cannot_end_well_is_refused_before_a_folder_is_made(
    changes: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        verb.run(replace(TINY, out=str(tmp_path / "run"), **changes))
    assert not (tmp_path / "run").exists()


def test_another_run_in_the_folder_is_refused_before_the_search(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    other = Pretrain(data="digits", seed=7)
    (tmp_path / "run" / "config.json").write_text(json.dumps(to_dict(other)))
    with pytest.raises(ConfigError, match="holds a run with"):
        verb.run(replace(TINY, out=str(tmp_path / "run")))
    assert not (tmp_path / "run" / "search").exists()


@pytest.mark.parametrize(
    ("text", "amount"), [("60M", 6e7), ("1.8g", 1.8e9), ("320 k", 3.2e5), (2e6, 2e6), ("1e6", 1e6)]
)
def test_amounts(text: str | float, amount: float) -> None:
    assert amount_of("macs", text) == amount


def test_what_is_trained_anew_is_a_plain_pretraining() -> None:
    config = verb.pretraining(TINY)
    assert type(config) is pretrain.Pretrain and config.heads == TINY.heads and config.images == 64

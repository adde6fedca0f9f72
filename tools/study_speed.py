"""What a study's runner saves: variants an hour, each as a command of its own and all in one study.

    OMP_NUM_THREADS=1 taskset -c 0 python tools/study_speed.py --out tools/results/study_speed.json [--before PROGRAM]

Apart: a study of one network in a folder of its own, so that each starts TensorFlow, opens the eleven sets and brings
their images to size. Together: the same networks in one folder, one process. Both train and judge alike, on the
settings of `configs/study_small.py`, in turn within one run; some twenty minutes of one core. --before names the
`ssl-keras` of an environment that holds an earlier version, whose study of the networks is timed first.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ssl_keras.experiments.queue import Queue
from ssl_keras.experiments.run_folder import write_json
from ssl_keras.scenarios.results import provenance

NETWORKS = ("resnet_v163", "mobilenet_v17")
STUDIED = 100
"""Networks of the study of which the pace is told: start, sets and report are shared by as many."""
PROGRAM = Path(sys.executable).with_name("ssl-keras")


def seconds(folder: Path, *networks: str, program: Path = PROGRAM) -> float:
    """Of a whole study command, start to report."""
    options = ["--seeds", "0", "--networks", *networks, "--out", str(folder)]
    begun = time.monotonic()
    subprocess.run([program, "study", "study_small", *options], check=True)
    return time.monotonic() - begun


def parts(folder: Path) -> list[dict[str, float]]:
    """Seconds of each finished trial's parts."""
    return [trial["seconds"] for trial in Queue(folder, ()).results()]


def row(way: str, whole: float, trials: list[dict[str, float]], shared_by: int) -> dict[str, Any]:
    """Seconds a network, and where they go; what is no trial's own is shared by so many networks."""
    each = {part: sum(trial[part] for trial in trials) / len(trials) for part in trials[0]}
    once = whole - sum(sum(trial.values()) for trial in trials)
    spent = {"start, sets, report": once / shared_by, **each}
    return {
        "": way,
        "variants an hour": f"{3600 / sum(spent.values()):.1f}",
        **{f"{part}, s": round(value) for part, value in spent.items()},
    }


def main() -> None:
    """Runs both ways and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--before", type=Path, metavar="PROGRAM", help="the ssl-keras of an earlier version")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as place:
        if options.before:
            earlier = Path(place) / "earlier"
            taken = seconds(earlier, *NETWORKS, program=options.before)
            rows.append(row("one study, earlier version", taken, parts(earlier), STUDIED))
        alone = [Path(place) / name for name in NETWORKS]
        apart = sum(seconds(folder, name) for folder, name in zip(alone, NETWORKS, strict=True))
        shared = Path(place) / "shared"
        together = seconds(shared, *NETWORKS)
        rows += [
            row("a command each", apart, [trial for folder in alone for trial in parts(folder)], len(NETWORKS)),
            row("one study", together, parts(shared), STUDIED),
        ]
    write_json(options.out, {"rows": rows, "provenance": provenance(0, {}, {"networks": NETWORKS})})


if __name__ == "__main__":
    main()

"""How well latencies of blocks add up to networks, and what the networks of the comparison take on this machine.

    python tools/latency.py --blocks runs/latency.json

measures every block of the space of ``configs/ablations/architectures.py``, then twenty networks drawn from it, twice
each, then the networks that are compared; writes tools/results/latency.json. One image at a time, LiteRT, one thread:
ten minutes, in which nothing else should run.
"""

import argparse
import dataclasses
import os
import platform
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from ssl_keras.configs.ablations.architectures import NETWORKS, SIDE, SPACE

from ssl_keras.experiments import latency
from ssl_keras.experiments.options import Latency
from ssl_keras.experiments.run_folder import write_json

RESULT = Path(__file__).parent / "results" / "latency.json"


def main() -> None:
    """Measures and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=Path, required=True, help="file of the table of blocks; resumable")
    blocks = parser.parse_args().blocks
    wanted = Latency(architecture=str(SPACE), image_size=SIDE, device="litert", check=20, out=str(blocks))
    latency.run(dataclasses.replace(wanted, check=0))
    found = latency.check(latency.read_table(str(blocks)), SPACE, wanted)
    row = {"networks": str(len(found.errors))} | {
        f"{what}, median (largest)": f"{100 * np.median(values):.1f} % ({100 * max(values):.1f} %)"
        for what, values in (("error", found.errors), ("the same network again", found.repeats))
    }
    shape = (SIDE, SIDE, 3)
    taken = {str(network): latency.milliseconds(network, shape, "litert")[0] for network in NETWORKS.values()}
    machine = f"{os.cpu_count()} CPU cores, {platform.machine()}; LiteRT, one thread, one image"
    write_json(RESULT, {"machine": machine, "rows": [row], "milliseconds": taken})
    print(row, taken)


if __name__ == "__main__":
    main()

"""The grammar where nothing but Python is installed."""

import subprocess
import sys

SCRIPT = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "keras", "numpy"):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, Absent())

import ssl_keras as sk

architecture = sk.parse("conv_c8 | basic_r2_s2_c16")
print(architecture, sk.cost(architecture, (32, 32, 3)).params)
print(sk.families.get("resnet18", width=0.25, small_images=True), sk.families.name_of(architecture))
print(sk.families.get("proxyless_space").sample(0).freeze({}).size)
try:
    sk.parse("conv_k4_c3")
except sk.ArchitectureError as error:
    print(error)
for name in ("tensorflow", "keras", "numpy"):
    assert name not in sys.modules
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(f"{name} could be imported, so nothing was proved")
"""


def test_parse_families_and_cost_need_only_python() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    params = (9 * 3 * 8 + 16) + (9 * 8 * 16 + 9 * 16 * 16 + 8 * 16 + 3 * 32) + (2 * 9 * 16 * 16 + 2 * 32)
    assert lines[0] == f"conv_c8 | basic_r2_s2_c16 {params}"
    assert lines[1].startswith("conv_c16 | basic_r2_c16 | ")
    assert lines[2] == "1"
    assert "nearest valid token 'k3'" in lines[3]

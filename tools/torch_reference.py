"""What a PyTorch library that nobody here wrote makes of given numbers; asked by ``tests/oracles``.

Run in the oracles' own environment (``make test-oracles``), never by the package:

    python tools/torch_reference.py INPUTS.npz ANSWERS.npz

Inputs and answers are arrays whose names begin with that of the thing compared.
"""

import importlib.util
import sys
from pathlib import Path

import lightly
import numpy as np
import torch
import torchvision_operators  # noqa: F401
from lightly.loss import NTXentLoss
from lightly.utils.lars import LARS


def nt_xent(first: np.ndarray, second: np.ndarray, temperature: float) -> dict[str, np.ndarray]:
    """SimCLR's loss of two views (b, P), with its gradients."""
    views = [torch.tensor(view, requires_grad=True) for view in (first, second)]
    loss = NTXentLoss(float(temperature))(*views)
    loss.backward()
    return {"loss": loss.detach().numpy(), "first": views[0].grad.numpy(), "second": views[1].grad.numpy()}


def lars(start: np.ndarray, gradients: np.ndarray, rate: float, decay: float, trust: float) -> dict[str, np.ndarray]:
    """The weights after each of the gradients (steps, ...)."""
    weights = torch.nn.Parameter(torch.tensor(start))
    optimizer = LARS([weights], float(rate), 0.9, weight_decay=float(decay), trust_coefficient=float(trust), eps=0.0)
    after = []
    for gradient in gradients:
        weights.grad = torch.tensor(gradient)
        optimizer.step()
        after.append(weights.detach().numpy().copy())
    return {"weights": np.stack(after)}


def knn(
    train: np.ndarray, labels: np.ndarray, test: np.ndarray, classes: int, k: int, temperature: float
) -> dict[str, np.ndarray]:
    """Predicted classes (n,) by weighted votes."""
    # Loaded by its file: the package around it wants a training framework.
    spec = importlib.util.spec_from_file_location("knn", Path(lightly.__path__[0], "utils", "benchmarking", "knn.py"))
    library = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(library)
    unit = [torch.nn.functional.normalize(torch.tensor(vectors)) for vectors in (test, train)]
    found = library.knn_predict(unit[0], unit[1].T, torch.tensor(labels), int(classes), int(k), float(temperature))
    return {"predicted": found[:, 0].numpy()}


def main() -> None:
    """Answers every case of the inputs."""
    cases: dict[str, dict[str, np.ndarray]] = {}
    for key, value in np.load(sys.argv[1]).items():
        case, argument = key.split("/")
        cases.setdefault(case, {})[argument] = value
    functions = {"nt_xent": nt_xent, "lars": lars, "knn": knn}
    answers = {
        f"{case}/{name}": value
        for case, arguments in cases.items()
        for name, value in functions[case.split(":")[0]](**arguments).items()
    }
    np.savez(sys.argv[2], **answers)


if __name__ == "__main__":
    main()

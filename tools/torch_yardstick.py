"""The yardstick of speed: the same work as our ReLICv2 step, in PyTorch, of a well-kept SSL library's parts.

Run by ``tools/benchmark.py`` in the oracles' own environment (``make benchmark``), never by the package:
online encoder, projector and predictor on two views, target encoder and projector on two views, a contrastive
loss, SGD, and the moving average; views as PIL images through the library's transforms in worker processes.

    python tools/torch_yardstick.py IMAGES.npy --width 8 --batch-size 128 --steps 30

prints one JSON line: images/s of the bare step and end to end, and the process's peak memory in MiB.
"""

import argparse
import copy
import json
import resource
import time

import numpy as np
import torch
import torchvision_operators  # noqa: F401
from lightly.loss import NTXentLoss
from lightly.models import ResNetGenerator
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import update_momentum
from lightly.transforms import SimCLRTransform
from PIL import Image


class Images(torch.utils.data.Dataset):
    """Arrays as PIL images through a transform, as torchvision's CIFAR-10 gives them."""

    def __init__(self, array: np.ndarray, transform) -> None:
        self.array, self.transform = array, transform

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, index: int) -> list:
        return self.transform(Image.fromarray(self.array[index]))


class Step:
    """One update of the online network and of its moving average."""

    def __init__(self, width: int, hidden: int, output: int) -> None:
        size = 8 * width
        encoder = ResNetGenerator("resnet-18", width=width / 64)
        encoder = torch.nn.Sequential(*list(encoder.children())[:-1], torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        self.online = torch.nn.Sequential(encoder, BYOLProjectionHead(size, hidden, output))
        self.predictor = BYOLPredictionHead(output, hidden, output)
        self.target = copy.deepcopy(self.online)
        self.loss = NTXentLoss(0.2)
        parameters = [*self.online.parameters(), *self.predictor.parameters()]
        self.optimizer = torch.optim.SGD(parameters, 0.1, momentum=0.9)

    def __call__(self, views: torch.Tensor) -> None:
        online = self.predictor(self.online(views))
        with torch.no_grad():
            target = self.target(views)
        first, second = target.chunk(2)
        loss = self.loss(online, torch.cat([second, first]))
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        update_momentum(self.online, self.target, 0.99)


def rate(step: Step, batches, steps: int, warmup: int) -> float:
    """Images/s over ``steps`` batches after ``warmup`` ones."""
    iterator, images, start = iter(batches), 0, 0.0
    for index in range(warmup + steps):
        if index == warmup:
            images, start = 0, time.perf_counter()
        views = next(iterator)
        step(torch.cat(list(views)))
        images += len(views[0])
    return images / (time.perf_counter() - start)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser()
    parser.add_argument("images")
    parser.add_argument("--width", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--hidden", type=int, default=512)
    parser.add_argument("--output", type=int, default=128)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    transform = SimCLRTransform(input_size=32, cj_strength=0.5, gaussian_blur=0.0)
    loader = torch.utils.data.DataLoader(
        Images(np.load(arguments.images), transform),
        arguments.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=arguments.workers,
    )
    step = Step(arguments.width, arguments.hidden, arguments.output)
    fixed = next(iter(loader))
    bare = rate(step, [fixed] * (arguments.steps + 5), arguments.steps, 5)
    whole = rate(step, loader, arguments.steps, 5)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"bare": bare, "end_to_end": whole, "peak_mib": memory}))


if __name__ == "__main__":
    main()

"""Imported for its effect, before a PyTorch library that imports torchvision.

torchvision registers its operators with a compiled library that CPU wheels of torch do not match: declare them.
"""

import torch

_library = torch.library.Library("torchvision", "FRAGMENT")
for _name in ("nms", "qnms"):
    _library.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

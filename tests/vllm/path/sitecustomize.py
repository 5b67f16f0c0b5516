"""On the PYTHONPATH of the test's vLLM only: lets torchvision be imported beside a torch that was built without CUDA.

Python imports this module by itself when it starts. torchvision registers, at its import, CPU kernels for two operators
whose schemas come from a library that is linked to CUDA and cannot be loaded here; with the schemas defined first,
the import succeeds. The operators themselves are not used.
"""

import importlib.util

if importlib.util.find_spec("torchvision") is not None:
    import torch

    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

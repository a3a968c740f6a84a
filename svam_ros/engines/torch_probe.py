"""``python -m svam_ros.engines.torch_probe``: says, as JSON, which torch and which device there is.

A process of its own, because whoever asks (``svam doctor``) does not import torch.
"""

from __future__ import annotations

import json


def main() -> int:
    """Print the answer; an exception ends the process with its own text."""
    import torch

    answer = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cuda_build": torch.version.cuda,
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

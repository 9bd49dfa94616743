"""Writes the base bundle's picture tower as a folder that infinity serves with its torch engine in ``serving.py``.

    python benchmarks/_serving_tower.py FOLDER

The network is exported with its weights, and runs operation by operation, as it does eagerly. infinity's transformers
load it by the code that lies beside it. Its texts have no vectors.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from open_autoglm.bundle import Bundle
from open_autoglm.modeling import OpenAutoGLM

CODE = """
from pathlib import Path
import torch
from transformers import PretrainedConfig, PreTrainedModel


class TowerConfig(PretrainedConfig):
    model_type = "picture-tower"

    def __init__(self, program="", **more):
        super().__init__(**more)
        self.program = program


class Tower(PreTrainedModel):
    config_class = TowerConfig

    def __init__(self, config):
        super().__init__(config)
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.runs = []

    def get_image_features(self, pixel_values):
        if not self.runs:  # not when it is made, since transformers makes models without weights
            self.runs.append(torch.export.load(self.config.program).module())
        return self.runs[0](pixel_values)

    def get_text_features(self, input_ids, attention_mask):
        return torch.ones(len(input_ids), 1)
"""


class Whole(nn.Module):
    """The vector of a whole picture."""

    def __init__(self, model: OpenAutoGLM) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return self.model.get_image_views(pixels)[:, 0]


def main(folder: Path) -> None:
    bundle = Bundle.open("open-autoglm-base")
    sizes = bundle.manifest.preprocessing["image"]
    folder.mkdir()
    program, tower = folder / "tower.pt2", Whole(OpenAutoGLM.from_pretrained(bundle.path).eval())
    example = torch.zeros(2, 3, sizes["height"], sizes["width"])
    with torch.no_grad():
        torch.export.save(
            torch.export.export(tower, (example,), dynamic_shapes=({0: torch.export.Dim("batch")},)), program
        )
    (folder / "tower.py").write_text(CODE, encoding="utf-8")
    config = {
        "model_type": "picture-tower",
        "architectures": ["Tower"],
        "auto_map": {"AutoConfig": "tower.TowerConfig", "AutoModel": "tower.Tower"},
        "program": str(program),
        "vision_config": {"model_type": "picture-tower"},
    }
    processor = {
        "processor_class": "CLIPProcessor",
        "image_processor_type": "CLIPImageProcessor",
        "size": {"height": sizes["height"], "width": sizes["width"]},
        "do_center_crop": False,
        "resample": 3,
        "image_mean": list(sizes["mean"]),
        "image_std": list(sizes["std"]),
    }
    tokenizer = {"tokenizer_class": "CLIPTokenizerFast", "unk_token": "<unk>", "pad_token": "<unk>"}
    words = {"<unk>": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}
    for name, content in (
        ("config", config),
        ("preprocessor_config", processor),
        ("tokenizer_config", tokenizer),
        ("vocab", words),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    save_file({"scale": torch.ones(1)}, folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

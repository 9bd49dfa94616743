"""How long and on what a pruned model learns from the full one.

It knows names and ranges; it knows nothing about models.
"""

from __future__ import annotations

from dataclasses import dataclass

from open_autoglm.errors import SettingError


@dataclass(frozen=True)
class Distillation:
    """How the recovery goes.

    - ``steps`` of AdamW at ``learning_rate``, which falls to nothing along a cosine, after ``warmup`` of them.
    - ``size``: the side in pixels of the crops that the picture tower learns on, at random places and scales from
      ``smallest`` of the picture's side up, half of them mirrored.
    - Weights of the losses. ``maps``: squared difference of the last states (each cell, each token), relative to the
      teacher's; ``vectors``: 1 - cosine in the shared space; ``similarities``: KL divergence of each vector's
      similarities to the batch, softened by ``temperature``; ``answers``: KL divergence of the decoder's logits.
    - ``save_every``: steps between two saved states, where there is a folder for them.
    """

    steps: int = 300
    learning_rate: float = 5e-4
    warmup: int = 10
    size: int = 224
    smallest: float = 0.3
    maps: float = 1.0
    vectors: float = 1.0
    similarities: float = 0.5
    answers: float = 1.0
    temperature: float = 0.05
    save_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.save_every < 1 or not self.learning_rate > 0:
            raise SettingError("A distillation needs steps, a learning rate above 0, and steps between saved states.")
        if not 0 < self.smallest <= 1:
            raise SettingError(f"The smallest scale of a crop is above 0 and at most 1, and not {self.smallest}.")

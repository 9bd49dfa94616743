"""Which parameter learns how fast: rates by part, rates that fall with depth, and what is decayed.

It knows names of parameters; it knows nothing about gradients or schedules.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from torch import nn

from .building import below, check_prefixes
from .module import TrainingModule, public_name
from .recipe import Optimisation

_LAYER = re.compile(r"\.(?:layers?|blocks?|h|stages)\.(\d+)\.")
_TOWERS = ("vision.tower", "text.tower")
_FIRST = ("embeddings", "stem", "patch_embed", "conv_stem")


def parameter_groups(module: TrainingModule, settings: Optimisation) -> list[dict[str, Any]]:
    """The optimiser's groups: parameters of one rate and decay together. Vectors and scalars are not decayed.

    Muon's matrices are ``orthogonal``; embeddings are tables, not matrices, and stay with AdamW.
    """
    named = list(module.learning())
    names = [name for name, _ in named]
    check_prefixes(list(settings.rates), [name for name, _ in public(module)], "optimisation.rates")
    tables = {id(part.weight) for part in module.modules() if isinstance(part, nn.Embedding)}
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = defaultdict(list)
    for name, parameter in named:
        rate = rate_of(name, settings) * settings.layer_decay ** layers_above(name, names)
        matrix = settings.optimiser == "muon" and parameter.ndim == 2 and id(parameter) not in tables
        groups[rate, settings.weight_decay if parameter.ndim > 1 else 0.0, matrix].append(parameter)
    return [
        {"params": group, "lr": rate, "weight_decay": decay, "orthogonal": matrix}
        for (rate, decay, matrix), group in groups.items()
    ]


def public(module: TrainingModule) -> list[tuple[str, nn.Parameter]]:
    """All parameters that could learn, frozen or not, by the names a recipe uses."""
    copies = ("momentum.", "average.")
    named = module.named_parameters()
    return [(public_name(name), parameter) for name, parameter in named if not name.startswith(copies)]


def rate_of(name: str, settings: Optimisation) -> float:
    """The rate of the longest prefix that fits a parameter's name."""
    fitting = [prefix for prefix in settings.rates if below(name, prefix)]
    return settings.rates[max(fitting, key=len)] if fitting else settings.learning_rate


def layers_above(name: str, names: Sequence[str]) -> int:
    """How many layers of its tower stand between a parameter and the tower's end; 0 outside of towers."""
    home = next((tower for tower in _TOWERS if below(name, tower)), None)
    if home is None:
        return 0
    depths = [int(found[1]) for one in names if below(one, home) and (found := _LAYER.search(one))]
    top = max(depths, default=-1) + 1
    if found := _LAYER.search(name):
        return top - int(found[1])
    return top + 1 if any(f".{part}" in name for part in _FIRST) and depths else 0

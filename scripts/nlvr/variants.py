"""Scenes that differ from another by little, so that a sentence true of one is often false of the other.

It knows nothing about sentences: a change is drawn blindly, and whoever judges both scenes sees what it did.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from scripts.nlvr.scenes import BOXES, COLOURS, FLOORS, MOST, SHAPES, SIZES, Scene, Thing, looks, place, scatter, tower

Boxes = list[list[Thing]]


def family(rng: np.random.Generator, scene: Scene, members: int) -> list[Scene]:
    """The scene and others, each one change away from it or, one in four, its things shuffled over the boxes."""
    change = vary_towers if scene.towers else vary_scattered
    return [scene, *(change(rng, scene) for _ in range(members - 1))]


def vary_towers(rng: np.random.Generator, scene: Scene) -> Scene:
    """Another colour for a block, a block more or less, two blocks changing place, or all of them shuffled."""
    towers = [[block.colour for block in box] for box in scene.boxes]
    first, second = (int(number) for number in rng.permutation(BOXES)[:2])
    match int(rng.integers(8)):
        case 0 | 1:
            towers[first][int(rng.integers(len(towers[first])))] = COLOURS[int(rng.integers(3))]
        case 2 if len(towers[first]) < FLOORS:
            towers[first].insert(int(rng.integers(len(towers[first]) + 1)), COLOURS[int(rng.integers(3))])
        case 3 if len(towers[first]) > 1:
            del towers[first][int(rng.integers(len(towers[first])))]
        case 4 if len(towers[first]) > 1 and len(towers[second]) < FLOORS:
            towers[second].append(towers[first].pop())
        case 5:
            one, other = int(rng.integers(len(towers[first]))), int(rng.integers(len(towers[second])))
            towers[first][one], towers[second][other] = towers[second][other], towers[first][one]
        case 6:
            rng.shuffle(towers[first])
        case _:
            blocks = iter(rng.permutation([colour for colours in towers for colour in colours]).tolist())
            towers = [[next(blocks) for _ in colours] for colours in towers]
    return Scene(tuple(tower(colours) for colours in towers), towers=True)


def vary_scattered(rng: np.random.Generator, scene: Scene) -> Scene:
    """Another look or place for a thing, a thing more or less, or all of them shuffled over the boxes."""
    boxes = [list(box) for box in scene.boxes]
    number = int(rng.integers(BOXES))
    box = boxes[number]
    chosen = int(rng.integers(len(box)))
    thing = box[chosen]
    match int(rng.integers(9)):
        case 0 | 1:
            box[chosen] = replace(thing, colour=COLOURS[int(rng.integers(3))])
        case 2 | 3:
            box[chosen] = replace(thing, shape=SHAPES[int(rng.integers(3))])
        case 4 | 5:
            size = SIZES[int(rng.integers(3))] if rng.random() < 0.3 else thing.size
            _put(rng, replace(thing, size=size), box, chosen)
        case 6 if len(box) > 1:
            del box[chosen]
            if rng.random() < 0.5:
                _put(rng, thing, boxes[(number + 1) % BOXES])
        case 7:
            _put(rng, looks(rng, 1)[0], box)
        case _:
            things = [thing for box in boxes for thing in box]
            order = iter(rng.permutation(len(things)).tolist())
            return Scene(tuple(scatter(rng, [things[next(order)] for _ in box]) for box in boxes), towers=False)
    return Scene(tuple(tuple(box) for box in boxes), towers=False)


def _put(rng: np.random.Generator, thing: Thing, box: list[Thing], instead_of: int | None = None) -> None:
    """The thing at a new place of the box, if there is one, in place of another or as one more."""
    others = [other for position, other in enumerate(box) if position != instead_of]
    moved = place(rng, thing, others) if len(others) < MOST else None
    if moved is not None:
        box[:] = [*others, moved]

"""A simulated captioner of pictures with several boxes, which mixes them up as often as it is told to.

It describes each thing in words that vary from asking to asking, and knows which thing it described: so what an audit
finds can be compared with what is true.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from regioncap.audit.rows import ARMS, AuditedRow

MixUp = Literal["number", "order", "sampling", "place"]
"""What decides whether and how boxes are mixed up: their numbers; the order in which they are asked for; nothing, it is
new in each asking; or where they are, so that it is the same in all."""

SCENES = {
    "street": "man/person/guy,woman/lady/person,car/vehicle,bus/vehicle,bicycle/bike,traffic light/signal,dog,"
    "storefront/shop,sign/street sign,tree,bench,motorcycle/motorbike",
    "kitchen": "cup/mug,plate/dish,bottle,bowl,refrigerator/fridge,stove/oven,sink,chair/stool,knife,banana/fruit,"
    "lamp/light,cat",
    "park": "man/person,child/kid,dog/puppy,bench,kite,tree,ball,bird/pigeon,stroller,path,frisbee/disc,woman/person",
    "living room": "sofa/couch,television/TV,cat/kitten,rug/carpet,table/coffee table,book,lamp,curtain,vase,"
    "plant/houseplant,remote/remote control,picture frame/painting",
}
ADJECTIVES = """red white black blue green yellow brown gray orange pink wooden metal plastic striped old small large
tall shiny dark round bright wet broken open closed leaning patterned"""
DETAILS = """with a handle/wearing a hat/next to the wall/near the window/facing left/facing the camera/
in the background/in the foreground/on the left/on the right/partly hidden/casting a shadow/with white letters/
carrying a bag/with a long strap/behind the fence/in bright light/wearing a jacket/with two wheels/filled with water/
leaning on a pole/covered with leaves/looking down/with its lid off/turned to the side/near the edge"""
FRAMES = (
    "A {adjectives} {noun} {details} in the {scene}.",
    "The {noun} is {adjectives}, {details}.",
    "There is a {adjectives} {noun} {details}.",
    "A {adjectives} {noun}, {details}, in a {scene} scene.",
)


@dataclass(frozen=True)
class Thing:
    """What is in a box, and what a caption of it may mention."""

    nouns: Sequence[str]
    adjectives: Sequence[str]
    details: Sequence[str]
    scene: str

    def described(self, rng: random.Random, keep: float) -> str:
        """A caption; it mentions each property with probability `keep`."""
        adjectives = [word for word in self.adjectives if rng.random() < keep]
        details = [words for words in self.details if rng.random() < keep]
        rng.shuffle(adjectives)
        words = {"adjectives": " ".join(adjectives), "details": " and ".join(details), "scene": self.scene}
        return rng.choice(FRAMES).format(noun=rng.choice(self.nouns), **words)


def a_thing(scene: str, rng: random.Random) -> Thing:
    """A thing as that scene has them."""
    nouns = rng.choice(SCENES[scene].split(",")).split("/")
    return Thing(nouns, rng.sample(ADJECTIVES.split(), 3), rng.sample(DETAILS.replace("\n", "").split("/"), 3), scene)


@dataclass(frozen=True)
class Model:
    """A captioner.

    `mix_up`, `share`: what decides about mix-ups, and the share of askings with one. `keep`: how steady its words are,
    0..1. `alike`: share of pictures in which all boxes hold the same thing. `samples`: False: asked the same twice, it
    says the same, as at temperature 0.
    """

    mix_up: MixUp
    share: float
    keep: float = 0.8
    alike: float = 0.0
    samples: bool = True

    def audited(self, number: int, regions: int, rng: random.Random) -> tuple[AuditedRow, int]:
        """A row that was asked four times, and in how many of its pairs both askings described the same thing."""
        scene = rng.choice(list(SCENES))
        things = [a_thing(scene, rng) for _ in range(regions)]
        if rng.random() < self.alike:
            things = [things[0]] * regions
        as_output, permuted = list(range(regions)), deranged(regions, rng)
        numbers = {"first": as_output, "permuted": permuted, "reversed": as_output, "control": as_output}
        orders = {**numbers, "permuted": sorted(as_output, key=permuted.__getitem__), "reversed": as_output[::-1]}
        seed = rng.random()
        described, captions = {}, {}
        for asking in numbers:
            decides = {"number": numbers[asking], "order": orders[asking], "sampling": asking, "place": ""}[self.mix_up]
            described[asking] = self._mixed(regions, random.Random(f"{seed} {decides}"))
            wording = asking if self.samples else (numbers[asking], orders[asking])
            words = random.Random(f"{seed} words {wording}")
            captions[asking] = [things[thing].described(words, self.keep) for thing in described[asking]]
        bbox = [[rng.uniform(0, 500), rng.uniform(0, 400), rng.uniform(10, 300), rng.uniform(10, 200)] for _ in things]
        same = sum(a == b for arm in ARMS for a, b in zip(described["first"], described[arm], strict=True))
        first, with_other_numbers, in_reverse, control = captions.values()
        row = AuditedRow(number, f"{number}.jpg", 800, 600, bbox, first, with_other_numbers, in_reverse, control)
        return row, same

    def _mixed(self, regions: int, rng: random.Random) -> list[int]:
        """The thing described for each box: two exchanged or, more seldom, all moved on by one."""
        things = list(range(regions))
        if rng.random() < self.share:
            if rng.random() < 0.25:
                return [*things[1:], things[0]]
            one, other = rng.sample(things, 2)
            things[one], things[other] = other, one
        return things


def deranged(count: int, rng: random.Random) -> list[int]:
    """A permutation of 0..count-1 in which nothing keeps its place. `count`: at least 2."""
    while True:
        found = rng.sample(range(count), count)
        if all(index != number for index, number in enumerate(found)):
            return found

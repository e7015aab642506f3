"""Pictures packed into a line of the run log and had back."""

import json

import torch

from chainrule.core.sheets import MOST_BYTES, MOST_PICTURES, packed, room_for, unpacked


def test_pictures_come_back_to_the_nearest_of_256_numbers():
    pictures = torch.rand(3, 1, 4, 5)
    back = unpacked(json.loads(json.dumps(packed(pictures))))
    assert back.shape == pictures.shape
    assert float((back / 255 - pictures).abs().max()) <= 0.5 / 255 + 1e-6


def test_other_numbers_are_brought_between_their_least_and_their_greatest():
    back = unpacked(packed(torch.tensor([-2.0, 0.0, 2.0]).reshape(1, 1, 1, 3)))
    assert back.flatten().tolist() == [0, 128, 255]
    assert unpacked(packed(torch.full((1, 1, 1, 2), float("nan")))).flatten().tolist() == [0, 0]


def test_a_sheet_is_bounded():
    assert room_for((1, 8, 8)) == MOST_PICTURES
    assert room_for((3, 100, 100)) == MOST_BYTES // 30_000
    assert room_for((3, 224, 224)) == 0

"""In which of Kohya's blocks a layer is: the published models' own blocks, by diffusers' paths."""

import pytest

from trainer.families import blocks
from trainer.formats.names import to_ldm
from trainer.job.blocks import Block, of_block


@pytest.mark.parametrize(
    ("path", "number", "side"),
    [
        # Lines of sd-scripts' get_block_index (networks/lora.py), worked out by hand.
        ("down_blocks.0.attentions.0.proj_in", 1, 0),
        ("down_blocks.0.attentions.1.proj_in", 2, 0),
        ("down_blocks.0.downsamplers.0.conv", 3, 0),
        ("down_blocks.2.attentions.1.transformer_blocks.0.attn1.to_q", 8, 0),
        ("down_blocks.3.resnets.1.conv2", 11, 0),
        ("mid_block.attentions.0.proj_out", 12, 1),
        ("mid_block.resnets.1.conv1", 12, 1),
        ("up_blocks.0.resnets.0.conv1", 13, 2),
        ("up_blocks.0.upsamplers.0.conv", 15, 2),
        ("up_blocks.1.attentions.2.proj_in", 18, 2),
        ("up_blocks.3.attentions.2.proj_in", 24, 2),
    ],
)
def test_25_blocks_of_stable_diffusion_1_and_2(path: str, number: int, side: int) -> None:
    assert blocks.sd(path) == Block(number, side)


@pytest.mark.parametrize(
    ("path", "number", "side"),
    [
        ("time_embedding.linear_1", 0, 0),
        ("add_embedding.linear_2", 0, 0),
        ("conv_in", 1, 0),
        ("down_blocks.0.resnets.0.conv1", 2, 0),
        ("down_blocks.1.attentions.1.transformer_blocks.1.attn2.to_k", 6, 0),
        ("down_blocks.2.attentions.1.proj_out", 9, 0),
        ("mid_block.resnets.0.conv1", 10, 1),
        ("mid_block.attentions.0.proj_in", 11, 1),
        ("mid_block.resnets.1.conv2", 12, 1),
        ("up_blocks.0.attentions.0.proj_in", 13, 2),
        ("up_blocks.0.upsamplers.0.conv", 15, 2),
        ("up_blocks.1.attentions.2.proj_in", 18, 2),
        ("up_blocks.2.resnets.2.conv1", 21, 2),
        ("conv_out", 22, 2),
    ],
)
def test_23_blocks_of_stable_diffusion_xl(path: str, number: int, side: int) -> None:
    assert blocks.sdxl(path) == Block(number, side)


@pytest.mark.parametrize("level", range(3))
@pytest.mark.parametrize("rest", ["resnets.0.conv1", "attentions.1.proj_in"])
def test_the_numbers_are_those_of_the_published_blocks(level: int, rest: str) -> None:
    """`lora_unet_input_blocks_4_1_…` is number 5 to sd-scripts, which counts the embeddings first."""
    for side, first in (("down", 1), ("up", 13)):
        theirs = int(to_ldm(f"{side}_blocks.{level}.{rest}", up_attention=True).split(".")[1])
        found = blocks.sdxl(f"{side}_blocks.{level}.{rest}")
        assert found is not None
        assert found.number == first + theirs


def test_a_block_has_its_own_number_or_that_of_its_part() -> None:
    block = blocks.sd("up_blocks.1.attentions.0.proj_in")
    assert of_block([1.0, 2.0, 3.0], block) == 3.0
    assert of_block(range(25), block) == 16
    assert of_block([], block) is None
    assert of_block([1.0, 2.0, 3.0], None) is None

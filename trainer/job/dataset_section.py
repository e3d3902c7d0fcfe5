"""The settings of the section `dataset`: what is learned, and how a picture and its caption are shown each time."""

import re
from typing import Annotated, Self

import pydantic

from trainer.job.knobs import OneOf, Section, fault, knob
from trainer.job.words import say

ENDING = re.compile(r"\.[^/\\:*?\"<>|\x00-\x1f]*[^/\\:*?\"<>|\x00-\x1f. ]")


class Dataset(Section):
    """What is learned."""

    folder: str = knob(
        "starter",
        "Pictures folder",
        "A folder that holds folders named like 25_cat (repeats, then words), or one such folder. "
        "starter is the example data set that comes with the program.",
        min_length=1,
    )
    resolution: int = knob(
        512,
        "Resolution",
        "Side of a square of the size trained at. Use the family's native size.",
        unit="px",
        ge=64,
        le=4096,
    )
    trigger: str = knob("", "Trigger words", "Put before every caption, so that these words call up what was learned.")
    caption_prefix: str = knob(
        "", "Text before captions", "Put before every caption, followed by a blank.", level="advanced"
    )
    caption_suffix: str = knob(
        "", "Text after captions", "Put after every caption, preceded by a blank.", level="advanced"
    )
    caption_separator: str = knob(
        ",",
        "Tag separator",
        "What stands between two tags where they are shuffled, kept or left out.",
        level="advanced",
        min_length=1,
    )
    caption_extension: str = knob(
        "",
        "Caption files end in",
        "Read captions only from files that end so, such as .tags beside the picture. Empty: from .txt files, "
        "or .caption files where there is none.",
        level="advanced",
        max_length=40,
    )
    default_repeats: int = knob(
        1,
        "Repeats of unnumbered folders",
        "How often a picture is used in an epoch when its folder's name does not start with a number.",
        level="advanced",
        ge=1,
        le=10_000,
    )
    shuffle_captions: bool = knob(
        False, "Shuffle tags", "Mix the comma-separated parts of a caption anew each time, so that order means nothing."
    )
    keep_tokens: int = knob(
        0,
        "Keep first tags",
        "How many tags at the start of a caption stay in place when tags are shuffled.",
        unit="tags",
        ge=0,
        le=75,
    )
    caption_dropout: float = knob(
        0.0,
        "Caption dropout",
        "Share of pictures shown without their caption, which makes guidance work better. 0.05 to 0.1 is common.",
        level="advanced",
        ge=0,
        le=1,
    )
    caption_dropout_every_epochs: int = knob(
        0,
        "Caption dropout every n epochs",
        "In every n-th epoch all pictures are shown without their captions. 0: never.",
        unit="epochs",
        level="advanced",
        ge=0,
        le=100_000,
    )
    tag_dropout: float = knob(
        0.0,
        "Tag dropout",
        "Share of tags left out each time a picture is shown. The first tags that are kept in place always stay.",
        level="advanced",
        ge=0,
        le=1,
    )
    wildcards: bool = knob(
        False,
        "Wildcards in captions",
        "Of {red|green|blue} one is chosen each time, and of a caption file with several lines one line. "
        "{{ and }} are braces.",
        level="advanced",
    )
    flip: bool = knob(
        False,
        "Mirror at random",
        "Show half of the pictures mirrored. Not for faces, letters and other one-sided things.",
        level="advanced",
    )
    random_crop: bool = knob(
        False,
        "Crop at random",
        "Cut what does not fit the bucket at one of five places, chosen each time, instead of around the centre. "
        "Each is encoded once, so caching takes up to five times as long.",
        level="advanced",
    )
    regularisation_folder: str = knob(
        "",
        "Regularisation folder",
        "Pictures of the same kind as yours but not of your subject, in folders named like 1_cat: they keep the kind "
        "as the model knows it. About as many are shown as of yours, without the trigger words.",
        level="advanced",
    )
    masked_loss: Annotated[str, OneOf("off", "alpha", "folder")] = knob(
        "off",
        "Masked loss",
        "Learn only parts of the pictures. alpha: what is not transparent. folder: what is white in the mask of the "
        "same name in the mask folder.",
        level="advanced",
    )
    mask_folder: str = knob(
        "",
        "Mask folder",
        "Masks with the names of the pictures (any picture format), all together or in folders like the pictures'. "
        "White is learned, black is not, grey in part.",
        level="advanced",
    )
    buckets: bool = knob(
        True,
        "Aspect buckets",
        "Keep wide and tall pictures wide and tall. Off: everything is cropped to a square.",
        level="advanced",
    )
    upscale: bool = knob(
        False,
        "Enlarge small pictures",
        "Scale pictures up that are smaller than their bucket. Off is sharper.",
        level="advanced",
    )
    bucket_min_px: int = knob(
        256, "Smallest bucket side", "Shortest side a bucket may have.", unit="px", level="advanced", ge=64, le=4096
    )
    bucket_max_px: int = knob(
        2048, "Largest bucket side", "Longest side a bucket may have.", unit="px", level="advanced", ge=64, le=8192
    )
    bucket_step_px: int = knob(
        64,
        "Bucket step",
        "Bucket sides are multiples of this.",
        unit="px",
        level="advanced",
        ge=8,
        le=256,
        multiple_of=8,
    )
    transparency: Annotated[str, OneOf("white", "grey", "black")] = knob(
        "white", "Transparent areas become", "The colour put behind transparent pictures.", level="advanced"
    )
    broken_pictures: Annotated[str, OneOf("refuse", "skip")] = knob(
        "refuse",
        "Broken pictures",
        "refuse: do not start while a picture cannot be read. skip: train without it.",
        level="advanced",
    )
    cache_to_disk: bool = knob(
        True,
        "Keep encoded pictures",
        "Keep encoded pictures in a cache folder of the output folder, so that the next run starts sooner.",
        level="advanced",
    )

    @pydantic.field_validator("caption_extension")
    @classmethod
    def _an_ending(cls, value: str) -> str:
        if value and not ENDING.fullmatch(value):
            raise fault("", "invalid", title="Caption files end in", reason=say("bad_ending"))
        return value

    @pydantic.model_validator(mode="after")
    def _bucket_order(self) -> Self:
        if self.bucket_max_px < self.bucket_min_px:
            raise fault(
                "bucket_max_px",
                "invalid",
                title="Largest bucket side",
                reason=say("bucket_order", limit=self.bucket_min_px),
            )
        return self

    @pydantic.model_validator(mode="after")
    def _masks_somewhere(self) -> Self:
        if self.masked_loss == "folder" and not self.mask_folder:
            raise fault("mask_folder", "no_mask_folder")
        return self

"""What all tools have in common on the command line: help, refusals in one sentence, and no file ever overwritten."""

import pathlib
import signal

import pytest
import torch
from safetensors.torch import save_file

from tests.house.tree import HEAVY, running
from tests.trainer.formats import bad, made
from tests.trainer.tools.call import refused, trainer
from trainer.formats import kohya, layouts
from trainer.job.words import say

VERBS = ("inspect", "convert", "merge", "resize", "extract")
# Every place in a command where a file can be bad (BAD), among good ones.
LORA_COMMANDS = (
    ("inspect", "BAD"),
    ("convert", "BAD", "OUT"),
    ("merge", "OUT", "BAD"),
    ("merge", "OUT", "LORA=0.5", "BAD=0.5"),
    ("merge", "OUT", "BAD", "--checkpoint", "BASE"),
    ("resize", "BAD", "OUT", "--rank", "1"),
)
CHECKPOINT_COMMANDS = (
    ("merge", "OUT", "LORA", "--checkpoint", "BAD"),
    ("extract", "BAD", "BASE", "OUT", "--rank", "1"),
    ("extract", "BASE", "BAD", "OUT", "--rank", "1"),
)
GOOD_COMMANDS = (
    ("inspect", "LORA", "--picture", "OUT"),
    ("convert", "LORA", "OUT"),
    ("merge", "OUT", "LORA"),
    ("merge", "OUT", "LORA", "--checkpoint", "BASE"),
    ("resize", "LORA", "OUT", "--rank", "1"),
    ("extract", "BASE", "BASE", "OUT", "--rank", "1"),
)


@pytest.fixture
def files(tmp_path: pathlib.Path) -> dict[str, pathlib.Path]:
    """A good LoRA and a good checkpoint for it, the place of a new file and that of a bad one."""
    kohya.write(tmp_path / "lora.safetensors", {made.TO_K: made.sd15()[made.TO_K]}, "fp32", {})
    name = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    save_file({name: torch.ones(32, 768)}, tmp_path / "base.safetensors")
    (tmp_path / "new").mkdir()
    return {
        "LORA": tmp_path / "lora.safetensors",
        "BASE": tmp_path / "base.safetensors",
        "OUT": tmp_path / "new" / "out.safetensors",
        "BAD": tmp_path / "bad.safetensors",
    }


def filled(command: tuple[str, ...], files: dict[str, pathlib.Path]) -> list[str]:
    """The command with paths for the names."""
    words = []
    for word in command:
        name, equals, weight = word.partition("=")
        words.append(f"{files.get(name, name)}{equals}{weight}")
    return words


def ids(command: tuple[str, ...]) -> str:
    return " ".join(command)


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_what_a_tool_does_and_takes(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = trainer(capsys, verb, "--help")
    assert done.status == 0
    said = " ".join(done.output.split())
    assert say(f"cli_{verb}") in said
    assert ".safetensors" in said
    assert f"    {verb} " in trainer(capsys, "--help").output


def test_help_of_a_tool_loads_nothing_heavy() -> None:
    assert not running("trainer", "merge", "--help") & HEAVY


@pytest.mark.parametrize("command", LORA_COMMANDS + CHECKPOINT_COMMANDS, ids=ids)
@pytest.mark.parametrize(("content", "word"), bad.BROKEN.values(), ids=bad.BROKEN)
def test_a_broken_file_is_refused_by_every_tool(
    files: dict[str, pathlib.Path],
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    content: bytes,
    word: str,
) -> None:
    files["BAD"].write_bytes(content)
    sentence = refused(capsys, files["OUT"], *filled(command, files))
    assert str(files["BAD"]) in sentence
    assert word in sentence


@pytest.mark.parametrize("command", LORA_COMMANDS, ids=ids)
@pytest.mark.parametrize(("content", "word"), bad.NO_LORA.values(), ids=bad.NO_LORA)
def test_what_is_no_whole_lora_is_refused_by_every_tool(
    files: dict[str, pathlib.Path],
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    content: bytes,
    word: str,
) -> None:
    files["BAD"].write_bytes(content)
    assert word in refused(capsys, files["OUT"], *filled(command, files))


@pytest.mark.parametrize("command", CHECKPOINT_COMMANDS, ids=ids)
def test_a_lora_is_no_checkpoint(
    files: dict[str, pathlib.Path], capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    sentence = refused(capsys, files["OUT"], *filled(command, files | {"BAD": files["LORA"]}))
    assert "no single-file checkpoint" in sentence


@pytest.mark.parametrize("command", LORA_COMMANDS + CHECKPOINT_COMMANDS, ids=ids)
def test_a_missing_file_is_refused(
    files: dict[str, pathlib.Path], capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    assert "does not exist" in refused(capsys, files["OUT"], *filled(command, files))


@pytest.mark.parametrize(
    "command",
    [
        ("inspect", "BASE2"),
        ("convert", "FLUX", "OUT"),
        ("convert", "BASE2", "OUT"),
        ("merge", "OUT", "LORA", "LORA2"),
        ("merge", "OUT", "LORA2", "--checkpoint", "BASE"),
        ("merge", "OUT", "LORA", "--checkpoint", "BASE2"),
        ("resize", "BASE2", "OUT", "--rank", "1"),
        ("extract", "BASE2", "BASE", "OUT", "--rank", "1"),
        ("extract", "BASE", "FLUX", "OUT", "--rank", "1"),
    ],
    ids=ids,
)
def test_a_file_of_the_wrong_family_is_refused(
    files: dict[str, pathlib.Path], capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    folder = files["OUT"].parent.parent
    more = {name: folder / f"{name}.safetensors" for name in ("LORA2", "BASE2", "FLUX")}
    wide = {made.TO_K: made.lora(made.TO_K, 32, (1024,), 2, 1.0)}
    kohya.write(more["LORA2"], wide, "fp32", {}, layouts.layout("sd2"))
    name = "model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
    save_file({name: torch.ones(32, 1024)}, more["BASE2"])
    strange = "lora_unet_double_blocks_0_img_attn_qkv"
    made.file(more["FLUX"], kohya.named({strange: made.lora(strange, 8, (8,), 2, 1.0)}, torch.float32))
    sentence = refused(capsys, files["OUT"], *filled(command, files | more))
    assert any(str(path) in sentence for path in more.values())


@pytest.mark.parametrize("command", GOOD_COMMANDS, ids=ids)
def test_no_file_is_overwritten(
    files: dict[str, pathlib.Path], capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    out = files["OUT"].with_suffix(".png" if "--picture" in command else ".safetensors")
    out.write_bytes(b"precious")
    assert "not overwritten" in refused(capsys, out, *filled(command, files | {"OUT": out}))
    assert out.read_bytes() == b"precious"


@pytest.mark.parametrize("command", GOOD_COMMANDS, ids=ids)
def test_a_new_file_needs_its_ending_and_its_folder(
    files: dict[str, pathlib.Path], capsys: pytest.CaptureFixture[str], command: tuple[str, ...]
) -> None:
    ending = ".png" if "--picture" in command else ".safetensors"
    odd = files["OUT"].with_suffix(".ckpt")
    assert f"has to end in {ending}" in refused(capsys, odd, *filled(command, files | {"OUT": odd}))
    nowhere = files["OUT"].parent / "none" / f"out{ending}"
    assert "there is no folder" in refused(capsys, nowhere, *filled(command, files | {"OUT": nowhere}))


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (("resize", "LORA", "OUT", "--rank", "0"), "0 is no rank"),
        (("resize", "LORA", "OUT", "--rank", "-3"), "-3 is no rank"),
        (("resize", "LORA", "OUT", "--keep", "1.5"), "1.5 is no share"),
        (("resize", "LORA", "OUT", "--keep", "nan"), "nan is no share"),
        (("resize", "LORA", "OUT", "--keep", "some"), "some is no share"),
        (("resize", "LORA", "OUT"), "--keep is required"),
        (("merge", "OUT", "LORA", "--rank", "all"), "all is no rank"),
        (("extract", "BASE", "BASE", "OUT", "--rank", "2.5"), "2.5 is no rank"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(
    files: dict[str, pathlib.Path], capsys: pytest.CaptureFixture[str], command: tuple[str, ...], text: str
) -> None:
    done = trainer(capsys, *filled(command, files))
    assert done.status == 2
    assert text in done.errors
    assert not files["OUT"].exists()


def test_a_full_disk_leaves_nothing(
    files: dict[str, pathlib.Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for command in (("convert", "LORA", "OUT"), ("merge", "OUT", "LORA", "--checkpoint", "BASE")):
        done = trainer(capsys, *filled(command, files))
        assert done.status == 2
        assert "No space left on device" in done.errors
        assert not list(files["OUT"].parent.iterdir())


def test_one_that_is_ended_while_it_writes_leaves_nothing(
    files: dict[str, pathlib.Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: signal.raise_signal(signal.SIGTERM))
    done = trainer(capsys, *filled(("convert", "LORA", "OUT"), files))
    assert done.status == 128 + signal.SIGTERM
    assert not list(files["OUT"].parent.iterdir())
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

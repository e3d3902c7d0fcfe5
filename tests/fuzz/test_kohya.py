"""Kohya's files and commands, mangled: a job and a report come of them, or one sentence."""

import json
import pathlib

from hypothesis import strategies as st

from app import moving_in
from tests.fuzz.mutations import TEXTS, as_json, changed, damaged, damaged_text
from tests.fuzz.test_jobs import faults
from tests.fuzz.trials import Trials, said
from tests.trainer.job.kohya_import import inputs
from trainer.job.fields import Invalid
from trainer.job.kohya_import import convert, read, report

PRESETS = (inputs.OLDEST, inputs.MIDDLE, inputs.MODERN)
TOML = """
pretrained_model_name_or_path = "model.safetensors"
[network_arguments]
network_dim = 16
network_args = [ "conv_dim=8", "algo=loha" ]
[training_arguments]
max_train_epochs = 10
learning_rate = 1e-4
"""
DATASET = """
[general]
shuffle_caption = true
[[datasets]]
resolution = [512, 768]
batch_size = 4
  [[datasets.subsets]]
  image_dir = '/data/cat'
  num_repeats = 10
  [[datasets.subsets]]
  is_reg = true
  image_dir = 'C:\\data\\reg'
"""
COMMANDS = (
    "accelerate launch --num_cpu_threads_per_process 1 train_network.py --pretrained_model_name_or_path=a.safetensors "
    '--network_args "conv_dim=8" "algo=locon" --optimizer_args "betas=0.9,0.99" --learning_rate 1e-4 --xformers',
    'export DIR="/my cat"\nRATE=1e-4; python train_network.py \\\n  --train_data_dir=$DIR \\\n  --unet_lr=$RATE && ls',
    'set DIR=C:\\cat\npython .\\sdxl_train_network.py ^\n --train_data_dir "%DIR%" ^\n --network_dim 16',
    '$dir = "C:\\cat"\npython train_network.py `\n --train_data_dir=$dir `\n --network_module=networks.lora',
)
SIGNS = (
    *('"', "'", "\\", "\\\n", "^\n", "`\n", "--", " --x ", "=", "==", "$A", "${", "$(", "%A%", "; ", "&&", "|", "A=1;"),
    *("#", "rem ", "\t", "\n", " " * 3, "\u201c", "\uff0d", "[", "]", "[[", "{", "}", "'''", '"""', "1e999", *TEXTS),
)
LONG = (
    *(
        "--a " + "=" * 50_000,
        "python train_network.py " + "--x " * 5_000,
        "a.py --a " + "\\" * 200_000,
        "A=1;" * 50_000,
    ),
    *("a.py --a '" + "x " * 200_000, "train.py --a " + "$A" * 100_000, "A=$B\n" * 20_000 + "x.py --a", " " * 500_000),
    *(
        "\u2018" * 100_000 + " a.py --b",
        "--" * 300_000 + "a.py",
        "a.py --x\n" * 50_000,
        "%" * 300_000,
        "a.py --b %" + "w" * 300_000,
    ),
    *(
        "A=$A$A\n" * 60 + "a.py --x $A",
        "A=aaaaaaaaaa\n" + "A=$A$A$A$A\n" * 30 + "a.py --x $A",
        "set " * 100_000 + "a.py --x",
    ),
    *("[" * 100_000, "a=" + "[" * 50_000, '{"a":' * 50_000, "[a]\nb=1\n" * 20_000, "a.b.c" + ".d" * 50_000 + "=1"),
    *("a = 1\n" * 20_000, '{"datasets": [' + '{"subsets": [{}]},' * 20_000 + "{}]}", "\ufffd--a.py", "x" * 2**20 + "y"),
    *(
        "a.py --a" + "-" * 200_000,
        "a.py " + "\t" * 300_000 + "--a",
        "a.py --a=" + "\n" * 300_000,
        "export " * 60_000 + "a.py --b",
    ),
)


SHORTER = tuple(text[:99_000] + text[-900:] for text in LONG if len(text) > 100_000)


def come_of(content: bytes, folders: tuple[pathlib.Path, ...] = ()) -> None:
    """All that an import shows."""
    try:
        made = convert.convert(read.read(content, "odd.txt", folders))
    except Invalid as error:
        faults(error)
        return
    said(*made.notes)
    for line in report.text(made):
        line.encode()
    json.dumps(report.as_values(made)).encode()
    report.job_file(made).encode()
    moving_in.panel(made).encode()


def test_files_of_the_gui(trials: Trials) -> None:
    known = [as_json(dict.fromkeys(PRESETS[2], value)) for value in (None, [], {}, [[]], "x" * 10_000, 1e308, -1, True)]
    trials.of("Kohya's JSON", come_of, changed(PRESETS).map(as_json), known, count=60)
    trials.of("Kohya's JSON, bytes", come_of, damaged([as_json(preset) for preset in PRESETS]), count=40)


def test_config_files(trials: Trials, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.toml").write_text(TOML)
    (tmp_path / "b.toml").write_text(DATASET)
    naming = (
        'config_file = "a.toml"\n',
        'dataset_config = "b.toml"\n',
        'config_file = "../a.toml"\n',
        'sample_prompts = "x"',
    )
    texts = damaged_text((TOML, DATASET, TOML + naming[0]), (*SIGNS, *naming, "[[datasets]]", "[a.b]", "1979-05-27"))
    trials.of("Kohya's TOML", lambda text: come_of(text.encode("utf-8", "replace"), (tmp_path,)), texts, count=60)


def test_commands(trials: Trials) -> None:
    def read_command(text: str) -> None:
        come_of(text.encode("utf-8", "replace"))

    trials.of("Kohya's commands", read_command, damaged_text(COMMANDS, SIGNS), (*LONG, *SHORTER), count=100)


def test_any_bytes(trials: Trials) -> None:
    whole = [text.encode(code) for text in (TOML, DATASET, *COMMANDS) for code in ("utf-8", "utf-16", "cp932")]
    trials.of("Kohya's, bytes", come_of, damaged(whole) | st.binary(max_size=60), count=60)

"""Command lines as they are pasted: bash, cmd.exe, PowerShell."""

import pytest

from trainer.job.kohya_import.command import commands, flags, is_command, pairs, split


@pytest.mark.parametrize(
    "text",
    [
        'accelerate launch train_network.py --a="x y" --b 1 \\\n  --c\\\n --d=2 3',
        'accelerate launch train_network.py --a "x y" ^\n --b=1 ^\r\n --c --d 2 3\r\n',
        "accelerate launch train_network.py --a 'x y' `\n --b 1 `\n --c --d 2 3",
        '#!/bin/bash\n# mine\nA="x y"\nexport B=1\naccelerate launch train_network.py --a "$A" --b ${B} --c --d 2 3',
        '@echo off\nrem mine\nset A=x y\naccelerate launch train_network.py --a "%A%" --b 1 --c --d 2 3',
        'set "A=x y"\r\nset B=1\r\naccelerate launch train_network.py --a "%A%" --b=%B% --c --d 2 3\r\n',
        "CUDA_VISIBLE_DEVICES=0 accelerate launch train_network.py --a 'x y' --b=1 --c --d 2 3 && echo done",
        "accelerate launch train_network.py\n  --a 'x y'\n  --b 1\n  --c\n  --d 2 3\n",
        'export A="x y"; B=1; accelerate launch train_network.py --a "$A" --b $B --c --d 2 3',
        "accelerate launch train_network.py \u2014a \u201cx y\u201d \u2013b 1 \uff0d\uff0dc\u3000--d 2 3",
        "accelerate launch train_network.py --a \u2018x y\u2019 --b\uff1d1 \u2212-c --d 2 3",
        '$A = "x y"\n$B = 1\naccelerate launch D:\\k\\train_network.py --a $A --b=$B `\n --c --d 2 3',
    ],
)
def test_every_shell_is_read(text: str) -> None:
    assert is_command(text)
    (words,) = commands(text)
    own, _, script = flags(words)
    assert own == [("a", "x y"), ("b", "1"), ("c", True), ("d", ["2", "3"])]
    assert script == "train_network.py"


def test_flags_before_the_program_are_those_of_what_starts_it() -> None:
    (words,) = commands("accelerate launch --num_processes=2 --multi-gpu sd/train_network.py --seed -1")
    assert flags(words) == ([("seed", "-1")], [("num_processes", "2"), ("multi-gpu", True)], "train_network.py")


@pytest.mark.parametrize(
    ("line", "windows", "words"),
    [
        (r"--a=C:\new\table --b", True, [r"--a=C:\new\table", "--b"]),
        (r'"C:\my pictures\" --b', True, ["C:\\my pictures\\", "--b"]),
        (r"my\ folder 'a\b' \"x", False, ["my folder", r"a\b", '"x']),
        ('a"b c"d \'\' "\\$HOME"', False, ["ab cd", "", "$HOME"]),
    ],
)
def test_backslashes_and_quotes_mean_what_the_shell_means(line: str, windows: bool, words: list[str]) -> None:
    assert split(line, windows=windows) == words


def test_a_backslash_in_quotes_is_only_a_backslash_in_powershell() -> None:
    (words,) = commands('$a = "D:\\x"\naccelerate launch train_network.py --folder=$a"\\"$a `\n --b')
    assert flags(words)[0] == [("folder", "D:\\x\\D:\\x"), ("b", True)]


def test_an_open_quote_is_an_error() -> None:
    with pytest.raises(ValueError, match='"'):
        split('--a "b', windows=False)


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ('"weight_decay=0.1" "betas=0.9,0.99"', [("weight_decay", "0.1"), ("betas", "0.9,0.99")]),
        ("betas=0.9, 0.99 x=1", [("betas", "0.9,0.99"), ("x", "1")]),
        (["a=1", "b='2'"], [("a", "1"), ("b", "2")]),
        ("loose", [("loose", "")]),
    ],
)
def test_pairs_are_read_as_kohyas_users_write_them(given: str | list[str], found: list[tuple[str, str]]) -> None:
    assert pairs(given) == found


@pytest.mark.parametrize("text", ["network_dim = 4", "just words", "a -- b", 'x = "--a"'])
def test_what_has_no_flags_is_no_command(text: str) -> None:
    assert not is_command(text)

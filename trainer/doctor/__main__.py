"""`python -m trainer.doctor`: the verb `doctor` where not even the trainer's command line can start."""

import argparse
import os
import sys

from trainer.doctor.command import add_arguments
from trainer.job.words import say

if __name__ == "__main__":
    top = argparse.ArgumentParser(prog="python -m trainer.doctor", description=say("cli_doctor"))
    add_arguments(top)
    options = top.parse_args()
    try:
        sys.exit(options.verb(options))
    except BrokenPipeError:  # nobody reads any more, as after `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)

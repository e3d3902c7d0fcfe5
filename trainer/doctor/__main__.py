"""`python -m trainer.doctor`: the verb `doctor` where not even the trainer's command line can start."""

import argparse
import sys

from trainer.doctor.command import add_arguments
from trainer.job.words import say

if __name__ == "__main__":
    top = argparse.ArgumentParser(prog="python -m trainer.doctor", description=say("cli_doctor"))
    add_arguments(top)
    options = top.parse_args()
    sys.exit(options.verb(options))

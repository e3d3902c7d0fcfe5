"""What nvidia-smi prints is understood, and nothing of it names a user."""

from trainer.doctor.probes.nvidia import read

PRINTED = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
  <driver_version>550.54.14</driver_version>
  <cuda_version>12.4</cuda_version>
  <gpu id="00000000:01:00.0">
    <product_name>NVIDIA GeForce RTX 4090</product_name>
    <fb_memory_usage><total>24564 MiB</total></fb_memory_usage>
    <processes>
      <process_info><pid>10</pid><process_name>/home/you/venv/bin/python</process_name>
        <used_memory>9216 MiB</used_memory></process_info>
      <process_info><pid>11</pid><process_name>C:\\Users\\mika\\app\\game.exe</process_name>
        <used_memory>[N/A]</used_memory></process_info>
    </processes>
  </gpu>
</nvidia_smi_log>
"""


def test_versions_cards_and_programs() -> None:
    assert read(PRINTED) == {
        "driver": "550.54.14",
        "cuda": "12.4",
        "names": ["NVIDIA GeForce RTX 4090"],
        "users": [["python", 9216], ["game.exe", 0]],
    }


def test_a_driver_that_tells_little_is_no_error() -> None:
    assert read("<nvidia_smi_log/>") == {"driver": "", "cuda": "", "names": [], "users": []}

"""How long a Llama of 7 billion parameters takes from its configuration to a layer graph, and how much memory.

`python -m bench.seven_billion` runs `energysim inspect` on a config.json in fresh processes, imports included.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

RUNS = 3
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
"""All sizes as transformers has them by default: 32 layers of width 4096, 6,738,415,616 parameters."""


def run(path: Path) -> tuple[float, float, dict[str, object]]:
    """CPU seconds and peak MB of one fresh process, and what it found."""
    command = [sys.executable, "-m", "energysim", "inspect", str(path), "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = json.loads(process.stdout.read())
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, found


def main() -> None:
    """Print medians."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        path.write_text(json.dumps(LLAMA))
        seconds, memory, found = zip(*(run(path) for _ in range(RUNS)), strict=True)
    print(f"{found[0]['parameters']:,} parameters: {median(seconds):.2f} CPU s, {median(memory):.0f} MB peak")


if __name__ == "__main__":
    main()

"""Timing whole commands by hyperfine, interpreter start included, and showing what came out."""

import json
import statistics
import subprocess
import tempfile
from pathlib import Path

from rivals import sh

RUNS, ROUNDS = 25, 5


def times(commands: dict[str, tuple[str, str]], runs: int = RUNS, warm: int = 1) -> dict[str, float]:
    """Medians in milliseconds of {label: (prepare, command)}; a label whose command is '' is left out. Before the
    `runs` of each, and once more `warm` times in each round, it is run untimed.

    In rounds, each of which runs all of them: what the machine does beside meets every one alike.
    """
    chosen = {label: pair for label, pair in commands.items() if pair[1]}
    for prepare, command in chosen.values():  # hyperfine would keep what a failing one says to itself
        sh(f"{prepare or 'true'} && {command}")
    found: dict[str, list[float]] = {label: [] for label in chosen}
    with tempfile.NamedTemporaryFile() as file:
        call = ["hyperfine", "--shell=none", "--style=none", "-w", str(warm), "-r", str(runs // ROUNDS)]
        for prepare, _ in chosen.values():
            call += ["--prepare", prepare or "true"]
        call += ["--export-json", file.name, *(command for _, command in chosen.values())]
        for _ in range(ROUNDS):
            subprocess.run(call, check=True, stdout=subprocess.DEVNULL)
            for label, result in zip(chosen, json.loads(Path(file.name).read_text())["results"], strict=True):
                found[label] += result["times"]
    return {label: statistics.median(times) * 1000 for label, times in found.items()}


def table(title: str, medians: dict[str, float]) -> None:
    """The first is treesmith's, which the others are held against."""
    ours = next(iter(medians.values()))
    print(f"\n{title}")
    for label, median in medians.items():
        print(f"  {label:<44}{median:>10.1f} ms{ours / median:>10.2f}")

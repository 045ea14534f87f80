"""Timing whole commands by hyperfine, interpreter start included, and showing what came out."""

import json
import subprocess
import tempfile

from rivals import sh

RUNS = 25


def times(commands: dict[str, tuple[str, str]], runs: int = RUNS) -> dict[str, float]:
    """Medians in milliseconds of {label: (prepare, command)}; a label whose command is '' is left out."""
    chosen = {label: pair for label, pair in commands.items() if pair[1]}
    for prepare, command in chosen.values():  # hyperfine would keep what a failing one says to itself
        sh(f"{prepare or 'true'} && {command}")
    with tempfile.NamedTemporaryFile() as file:
        call = ["hyperfine", "--shell=none", "--style=none", "-w", "3", "-r", str(runs), "--export-json", file.name]
        for prepare, _ in chosen.values():
            call += ["--prepare", prepare or "true"]
        subprocess.run([*call, *(command for _, command in chosen.values())], check=True, stdout=subprocess.DEVNULL)
        results = json.load(file)["results"]
    return {label: result["median"] * 1000 for label, result in zip(chosen, results, strict=True)}


def table(title: str, medians: dict[str, float]) -> None:
    """The first is treesmith's, which the others are held against."""
    ours = next(iter(medians.values()))
    print(f"\n{title}")
    for label, median in medians.items():
        print(f"  {label:<44}{median:>10.1f} ms{ours / median:>10.2f}")

"""What adapters gain on medical images: sets x training images x adapters, a run of ``segue adapt`` each.

    python examples/adapter_table.py --data ../shared/data/medical --out runs/adapters
    python examples/adapter_table.py --out runs/adapters --table

Runs go one after the other, each in a process of its own (peak memory is a process's) and on one thread. A finished
run leaves ``OUT/<set>-<images>-<adapter>/report.json`` and is not repeated: stop and start again as you like. The
robot annotates the held-out images with the base once per set; ``segue adapt`` keeps that. ``--table`` only prints.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
HEAD = (
    "| set | images | adapter | learned | NoC85 | | NoC90 | mIoU@1 | minutes | memory (MB) |",
    "|---|---|---|---|---|---|---|---|---|---|",
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="the folder that holds the sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=["kvasir_seg", "foot_ulcer_fuseg"])
    parser.add_argument("--images", nargs="+", type=int, default=[20, 100, 400])
    parser.add_argument("--minutes", nargs="+", type=float, default=[1.5, 4, 5], help="processor time, for each number")
    parser.add_argument("--adapters", nargs="+", default=["detail", "lora", "head", "full"])
    parser.add_argument("--test-images", type=int, default=100)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--table", action="store_true", help="only print what is there")
    args = parser.parse_args(arguments)
    if not args.table:
        if args.data is None or len(args.minutes) != len(args.images):
            parser.error("--data, and as many --minutes as --images")
        for command, report in commands(args):
            if not report.exists():
                print(" ".join(command), flush=True)
                subprocess.run([sys.executable, "-m", "segue", *command], env={**os.environ, **THREADS}, check=True)
    print("\n".join(table(args)))


def commands(args: argparse.Namespace) -> Iterator[tuple[list[str], Path]]:
    """The command line and the report of every run."""
    for name in args.sets:
        for images, minutes in zip(args.images, args.minutes, strict=True):
            for adapter in args.adapters:
                folder = args.out / f"{name}-{images}-{adapter}"
                yield (
                    [
                        "adapt",
                        "--data",
                        str(args.data / name),
                        "--model",
                        args.model,
                        "--adapter",
                        adapter,
                        "--train-images",
                        str(images),
                        "--test-images",
                        str(args.test_images),
                        "--holdout",
                        "0.2",
                        "--minutes",
                        f"{minutes:g}",
                        "--clock",
                        "cpu",
                        "--no-boundary",
                        "-o",
                        str(folder),
                        "--json",
                        str(folder / "run.json"),
                    ],
                    folder / "report.json",
                )


def table(args: argparse.Namespace) -> list[str]:
    """Markdown: a row for the base of each set, then one for every run that is finished."""
    lines = list(HEAD)
    for name in args.sets:
        rows = [
            (images, report)
            for images in args.images
            for adapter in args.adapters
            if (report := read(args.out / f"{name}-{images}-{adapter}" / "report.json"))
        ]
        for i, (images, report) in enumerate(rows):
            if i == 0:
                before = report["before"]
                figures = f"{before['noc85']:.2f} | | {before['noc90']:.2f} | {before['miou1']:.3f}"
                lines.append(f"| {name} | 0 | none | | {figures} | | |")
            lines.append(f"| {name} | {images} | {row(report)} |")
    return lines


def row(report: dict[str, Any]) -> str:
    """The adapter's cells."""
    before, after, (low, high) = report["before"], report["after"], report["clicks_saved_interval"]
    change = 100 * (after["noc85"] / before["noc85"] - 1)
    cells = (
        report["adapter"],
        f"{report['parameters']:,}",
        f"{after['noc85']:.2f}",
        f"{change:+.0f} %, saves {low:.2f} to {high:.2f}",
        f"{after['noc90']:.2f}",
        f"{after['miou1']:.3f}",
        f"{report['processor_minutes']:.1f}",
        f"{report['peak_memory_mb']:,}",
    )
    return " | ".join(cells)


def read(path: Path) -> dict[str, Any] | None:
    return json.loads(path.read_text()) if path.exists() else None


if __name__ == "__main__":
    main()

"""VLSM-Adapter's table 1 on one's own data: every way to adapt one CLIPSeg, on the same images.

    python examples/table1.py --model runs/small-clipseg/base --data ../shared/data/medical/foot_ulcer_fuseg \
        --name "foot ulcer" --out runs/table1 --minutes 1.2

Each column is a ``segue adapt``. Interrupted, the same line goes on: columns that have a report are not run again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import segue
from segue.evaluation.adapt_report import TEXT_ROWS


class Way(NamedTuple):
    """A column of the table: its title, the adapter and its settings, and whether it is one of the paper's own."""

    title: str
    adapter: str
    settings: Mapping[str, Any] = {}
    own: bool = False


WAYS = {
    "dense-vl": Way("DA, VL", "dense", {"variant": "vl"}, own=True),
    "shallow-vlc": Way("SA, VLC", "shallow", {"variant": "vlc"}, own=True),
    "full": Way("end to end", "full"),
    "side": Way("SAN-style", "side"),
    "lora": Way("LoRA", "lora"),
    "dense-v": Way("DA, V", "dense", {"variant": "v"}),
    "dense-vlc": Way("DA, VLC", "dense", {"variant": "vlc"}),
    "shallow-vl": Way("SA, VL", "shallow", {"variant": "vl"}),
    "shallow-v": Way("SA, V", "shallow", {"variant": "v"}),
}
COLUMNS = ("full", "side", "lora", "shallow-v", "shallow-vl", "shallow-vlc", "dense-v", "dense-vl", "dense-vlc")


def table(reports: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown with a column for each way, in the paper's order, and a row for each measure; mean and spread over
    seeds. The first column is the frozen model as it is."""
    shown = [name for name in COLUMNS if name in reports]
    first = max((reports[n] for n in shown), key=lambda report: len(report["runs"]))
    titles = ["data set", "measure", "frozen", *(WAYS[n].title for n in shown)]
    sizes = ["", "learned numbers", "0", *(millions(reports[n]["parameters"]) for n in shown)]
    seeds = ["", "seeds", str(len(first["runs"])), *(str(len(reports[n]["runs"])) for n in shown)]
    rows = [sizes, seeds]
    for key, title, scale in TEXT_ROWS:
        values = [spread(first["before"][key], scale), *(spread(reports[n]["after"][key], scale) for n in shown)]
        rows.append([Path(first["data"]).name, title, *values])
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def millions(count: int) -> str:
    """1234567 -> "1.23 M"."""
    return f"{count / 1e6:.2f} M"


def spread(value: Mapping[str, float], scale: float) -> str:
    """Mean and, over several seeds, spread."""
    after = f" ± {scale * value['spread']:.1f}" if value["spread"] else ""
    return f"{scale * value['mean']:.1f}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--name", required=True, help="what the masks show")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--minutes", type=float, default=1000.0, help="of processor time, each run")
    parser.add_argument("--images", type=int, default=100, help="to train on, and as many held out")
    parser.add_argument("--batch", type=int, help="default: the paper's 32")
    parser.add_argument("--rates", nargs="*", default=[], help="ADAPTER=RATE where not the default")
    parser.add_argument("--seeds", type=int, default=3, help="of the paper's own columns")
    parser.add_argument("--other-seeds", type=int, default=3, help="of the others")
    parser.add_argument("--set", nargs="*", default=[], metavar="WAY.KEY=VALUE", help="settings with whole numbers")
    args = parser.parse_args(arguments)
    rates = {k: float(v) for k, v in (pair.split("=") for pair in args.rates)}
    changes = [tuple(pair.replace("=", ".").split(".")) for pair in args.set]
    reports: dict[str, Mapping[str, Any]] = {}
    for name in args.ways:
        way, folder = WAYS[name], args.out / name
        if not (folder / "report.json").exists():
            segue.adapt(
                data=args.data,
                output=folder,
                model=args.model,
                name=args.name,
                adapter=way.adapter,
                settings={**way.settings, **{k: int(v) for w, k, v in changes if w == name}},
                seeds=args.seeds if way.own else args.other_seeds,
                lr=rates.get(way.adapter),
                batch=args.batch,
                holdout=0.5,
                train_images=args.images,
                test_images=args.images,
                minutes=args.minutes,
                clock="cpu",
                resume=any(folder.glob("checkpoint-*.pt")),
            )
        reports[name] = json.loads((folder / "report.json").read_text())
        (args.out / "table1.md").write_text(table(reports))
        print(table(reports), flush=True)


if __name__ == "__main__":
    main()

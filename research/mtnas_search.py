"""MTNAS beside shared_bottom, mmoe and random routes, on a finished run's transformed examples.

    python research/mtnas_search.py --root runs/demo --config examples/demo.yaml [--seeds N]

For each seed: a search, the network trained anew from its route; a random search of the same budget
and its network; shared_bottom and mmoe of as many trunk parameters as the found network. All train
on train, stop on validation, and are measured on test, which no search reads. The last line is one
JSON object with `search_to_training`, the seconds of a search over those of its network's training.
"""

import json
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

from lab import DEMO, base_config, finished_run, options, report, search, train

import numpy as np

from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig
from taskroute.schemas.trunks import ExpertLayer, MmoeTrunk, MtnasTrunk, SharedBottomTrunk, Trunk


def measure(run: SharedData, base: RecommenderConfig, trunk: MtnasTrunk, seed: int) -> list[dict]:
    """One row a trunk."""
    training = base.training.model_copy(update={"seed": seed})
    model = base.part(ModelConfig)

    def config(chosen: Trunk) -> ModelConfig:
        return ModelConfig(**{**dict(model), "trunk": chosen, "training": training})

    def row(
        name: str, chosen: Trunk, search_seconds: float = 0.0, reward: float | None = None
    ) -> dict[str, Any]:
        trained = train(config(chosen), run)
        measured = {
            "trunk": name,
            "seed": seed,
            "auc": trained.aucs,
            "mean_auc": float(np.mean(list(trained.aucs.values()))),
            "loss": trained.metrics["loss"],
            "parameters": trained.ranker.trunk.parameters(),
            "macs": trained.ranker.trunk.macs(),
            "epochs": trained.epochs,
            "training_seconds": trained.seconds,
            "search_seconds": search_seconds,
            "reward": reward,
        }
        print(json.dumps(measured), flush=True)
        return measured

    rows = []
    for policy in ("reinforce", "random"):
        settings = trunk.search.model_copy(update={"policy": policy})
        searched = trunk.model_copy(update={"search": settings})
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            result = search(run, config(searched), Path(folder) / "search")
        seconds = time.perf_counter() - started
        for block in result.route.blocks:
            print(f"  {block.block}: {' '.join(block.lower)} ({block.query})", flush=True)
        if result.history:
            steps = result.history[:: max(1, len(result.history) // 8)]
            print("  entropy", *(f"{step.entropy:.2f}" for step in steps), flush=True)
            print("  reward", *(f"{step.reward:.4f}" for step in steps), flush=True)
        fixed = trunk.model_copy(update={"route": result.route})
        name = "mtnas" if policy == "reinforce" else "mtnas, random"
        rows.append(row(name, fixed, seconds, result.reward))
    size = rows[0]["parameters"]
    units = tuple(layer.units for layer in trunk.layers)
    bottom = SharedBottomTrunk(units=units, match_parameters=size)
    rows.append(row("shared_bottom", bottom))
    experts = ExpertLayer(experts=trunk.layers[0].sub_networks, units=units)
    mmoe = MmoeTrunk(kind="mmoe", layers=(experts,), match_parameters=size)
    rows.append(row("mmoe", mmoe))
    return rows


def main() -> None:
    # `layers` are the supernet's; `search` has fields of trunk.search, JSON.
    arguments = options(
        __doc__,
        root=("runs/demo", "demo"),
        config=(str(DEMO), str(DEMO)),
        # Rows of the demo's log, where the root has no run yet.
        rows=(200_000, 2_000),
        seeds=("1,2,3", "1"),
        layers=("4x64,4x32", "2x8"),
        search=("{}", '{"epochs": 2, "weight_steps": 1, "policy_steps": 1, "batch_size": 64}'),
    ).parse_args()
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    layers = [
        dict(zip(("sub_networks", "units"), map(int, layer.split("x")), strict=True))
        for layer in arguments.layers.split(",")
    ]
    settings = {"kind": "mtnas", "layers": layers, "search": json.loads(arguments.search)}
    trunk = MtnasTrunk.model_validate(settings)
    base, run = (
        base_config(arguments.config, arguments.smallest),
        finished_run(Path(arguments.root), arguments.rows),
    )
    rows = [row for seed in seeds for row in measure(run, base, trunk, seed)]
    tasks = list(rows[0]["auc"])
    print("| trunk | parameters | MACs |", " | ".join([*tasks, "mean", "search s", "training s |"]))
    for name in dict.fromkeys(row["trunk"] for row in rows):
        chosen = [row for row in rows if row["trunk"] == name]
        cells = [f"{np.mean([row[key] for row in chosen]):,.0f}" for key in ("parameters", "macs")]
        for values in [
            *([r["auc"][t] for r in chosen] for t in tasks),
            [row["mean_auc"] for row in chosen],
        ]:
            deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
            cells.append(f"{np.mean(values):.4f} ± {deviation:.4f}")
        for key in ("search_seconds", "training_seconds"):
            cells.append(f"{np.mean([row[key] for row in chosen]):.0f}")
        print("|", " | ".join([name, *cells]), "|")
    ratios = [
        row["search_seconds"] / row["training_seconds"] for row in rows if row["trunk"] == "mtnas"
    ]
    report(
        "mtnas against shared_bottom, mmoe and random routes",
        search_to_training=float(np.mean(ratios)),
        mean_auc={
            name: float(np.mean([row["mean_auc"] for row in rows if row["trunk"] == name]))
            for name in dict.fromkeys(row["trunk"] for row in rows)
        },
        seeds=seeds,
        date=date.today().isoformat(),
    )


if __name__ == "__main__":
    main()

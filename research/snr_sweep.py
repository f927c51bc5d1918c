"""Sweep of SNR's penalty: open connections and AUC as it rises, on a run's transformed examples.

    python research/snr_sweep.py [--root runs/demo] [--config examples/demo.yaml] [--seeds N]

Reads what `taskroute run` or `demo` left under the root; trains on train, stops on validation,
measures on test. The last line is one JSON object.
"""

import time
from pathlib import Path
from typing import Any

from lab import DEMO, base_config, finished_run, options, report, train

import numpy as np

from taskroute.pipeline.experiments.shared_data import SharedData
from taskroute.schemas.recommender import ModelConfig

PENALTIES = "0,0.03,0.1,0.3,1,3,10,30"


def train_and_measure(config: ModelConfig, run: SharedData) -> dict[str, Any]:
    trained = train(config, run)
    trunk = trained.ranker.trunk
    matrices = [matrix.values.numpy() for matrix in trunk.routing()]
    return {
        "open": sum(int(np.count_nonzero(values)) for values in matrices),
        "connections": sum(values.size for values in matrices),
        "least_of_a_task": int(np.count_nonzero(matrices[-1], axis=1).min()),
        "macs": trunk.macs(),
        "epochs": trained.epochs,
        "loss": trained.metrics["loss"],
        "auc": trained.aucs,
    }


def main() -> None:
    arguments = options(
        __doc__,
        root=("runs/demo", "demo"),
        config=(str(DEMO), str(DEMO)),
        # Rows of the demo's log, where the root has no run yet.
        rows=(200_000, 2_000),
        seeds=(1, 1),
        penalties=(PENALTIES, "1"),
    ).parse_args()
    base = base_config(arguments.config, arguments.smallest)
    run = finished_run(Path(arguments.root), arguments.rows)
    rows = []
    print(f"{'penalty':>8} {'open':>8} {'task min':>8} {'MACs':>8} {'loss':>8}  AUC by task")
    for penalty in map(float, arguments.penalties.split(",")):
        runs = []
        start = time.perf_counter()
        for seed in range(1, arguments.seeds + 1):
            trunk = base.trunk.model_copy(update={"l0_penalty": penalty})
            training = base.training.model_copy(update={"seed": seed})
            config = base.model_copy(update={"trunk": trunk, "training": training})
            runs.append(train_and_measure(config, run))
        row: dict[str, Any] = {
            "penalty": penalty,
            "open": float(np.mean([run["open"] for run in runs])),
            "connections": runs[0]["connections"],
            "least_of_a_task": min(run["least_of_a_task"] for run in runs),
            "macs": float(np.mean([run["macs"] for run in runs])),
            "loss": float(np.mean([run["loss"] for run in runs])),
            "auc": {
                name: float(np.mean([run["auc"][name] for run in runs])) for name in runs[0]["auc"]
            },
            "seconds": time.perf_counter() - start,
        }
        rows.append(row)
        aucs = "  ".join(f"{name} {value:.4f}" for name, value in row["auc"].items())
        print(
            f"{penalty:>8g} {row['open']:>5.1f}/{row['connections']} {row['least_of_a_task']:>8}"
            f" {row['macs']:>8.0f} {row['loss']:>8.4f}  {aucs}",
            flush=True,
        )
    report("SNR's penalties", seeds=arguments.seeds, sweep=rows)


if __name__ == "__main__":
    main()

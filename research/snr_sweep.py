"""What SNR's penalty does: open connections and AUC as it rises, on a run's transformed examples.

    python research/snr_sweep.py [--root runs/demo] [--config examples/demo.yaml] [--seeds N]

Reads what `taskroute run` or `demo` left under the root; trains on train, stops on validation,
measures on test. The last line is one JSON object.
"""

import argparse
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
from finished_run import FinishedRun

from taskroute.schemas.recommender import ModelConfig, load_config

PENALTIES = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


def train_and_measure(config: ModelConfig, run: FinishedRun) -> dict[str, Any]:
    trained = run.train(config)
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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("runs/demo"))
    parser.add_argument("--config", type=Path, default=Path("examples/demo.yaml"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--penalties", type=float, nargs="+", default=PENALTIES)
    arguments = parser.parse_args()
    base, run = load_config(arguments.config), FinishedRun(arguments.root)
    rows = []
    print(f"{'penalty':>8} {'open':>8} {'task min':>8} {'MACs':>8} {'loss':>8}  AUC by task")
    for penalty in arguments.penalties:
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
    print(json.dumps({"seeds": arguments.seeds, "machine": platform.machine(), "sweep": rows}))


if __name__ == "__main__":
    main()

"""What SNR's penalty does: open connections and AUC as it rises, on a run's transformed examples.

    python benchmarks/snr_sweep.py [--root runs/demo] [--config examples/demo.yaml] [--seeds N]

Reads what `taskroute run` or `demo` left under the root; trains on train, stops on validation,
measures on test. The last line is one JSON object.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import tensorflow_transform as tft
import tf_keras as keras

from taskroute.models.dataset import make_dataset
from taskroute.models.trainer import build_ranker, fit, num_ids
from taskroute.schemas.recommender import ModelConfig, load_config

PENALTIES = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def newest(folder: Path) -> Path:
    return max(folder.iterdir(), key=lambda path: int(path.name))


def train_and_measure(config: ModelConfig, artifacts: Path) -> dict[str, object]:
    transform = tft.TFTransformOutput(str(newest(artifacts / "Transform/transform_graph")))
    examples = newest(artifacts / "Transform/transformed_examples")
    keras.utils.set_random_seed(config.training.seed)

    def read(split: str, **arguments: int) -> object:
        return make_dataset([str(examples / f"Split-{split}" / "*")], config, **arguments)

    training = config.training
    train = read("train", batch_size=training.batch_size, shuffle_seed=training.seed)
    ranker = build_ranker(config, num_ids(config, transform), train)
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        history = fit(ranker, train, read("validation", batch_size=4096), training, folder)
    measured = ranker.evaluate(read("test", batch_size=4096), verbose=0, return_dict=True)
    matrices = [matrix.values.numpy() for matrix in ranker.trunk.routing()]
    return {
        "open": sum(int(np.count_nonzero(values)) for values in matrices),
        "connections": sum(values.size for values in matrices),
        "least_of_a_task": int(np.count_nonzero(matrices[-1], axis=1).min()),
        "macs": ranker.trunk.macs(),
        "epochs": len(history["val_loss"]),
        "loss": measured["loss"],
        "auc": {name: measured[f"{name}_auc"] for name in ranker.task_aucs},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=Path("runs/demo"))
    parser.add_argument("--config", type=Path, default=Path("examples/demo.yaml"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--penalties", type=float, nargs="+", default=PENALTIES)
    arguments = parser.parse_args()
    base = load_config(arguments.config)
    rows = []
    print(f"{'penalty':>8} {'open':>8} {'task min':>8} {'MACs':>8} {'loss':>8}  AUC by task")
    for penalty in arguments.penalties:
        runs = []
        start = time.perf_counter()
        for seed in range(1, arguments.seeds + 1):
            trunk = base.trunk.model_copy(update={"l0_penalty": penalty})
            training = base.training.model_copy(update={"seed": seed})
            config = base.model_copy(update={"trunk": trunk, "training": training})
            runs.append(train_and_measure(config, arguments.root / "artifacts"))
        row = {
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

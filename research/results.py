"""Figures of docs/research/results.md: trunks on public and sample logs, by `taskroute compare`.

    python research/results.py run census_income_college --data DIR [--seeds 5] [--budget MINUTES]
    python research/results.py write

`run` searches a route for mtnas first, then trains every trunk with every seed, under
runs/results/NAME; it goes on where it was stopped. `write` puts the tables of what has been run
into docs/research/results.md, between the marks that name them, and figures beside it.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import REPOSITORY, options, report, search, transformed

from taskroute.pipeline.experiments.compare.command import compare
from taskroute.pipeline.experiments.compare.summary import LABELS, Comparison, Measured, TrunkCost
from taskroute.pipeline.experiments.differences import Against
from taskroute.pipeline.sample_log.sample_files import write_sample_log
from taskroute.pipeline.sample_log.sample_log import SampleLogSpec, make_sample_log
from taskroute.schemas.recommender import ModelConfig, RecommenderConfig, load_config
from taskroute.schemas.routes import load_route
from taskroute.schemas.trunks import MtnasTrunk, SnrAverTrunk, SnrTransTrunk
from taskroute.schemas.whole_files import write_whole

PAGE = REPOSITORY / "docs" / "research" / "results.md"
FILES = REPOSITORY / "docs" / "research" / "results"
TRUNKS = (
    "single_task",
    "shared_bottom",
    "cross_stitch",
    "mmoe",
    "ple",
    "snr_trans",
    "snr_aver",
    "gumbel_matrix",
    "mtnas",
)


@dataclass(frozen=True)
class Log:
    """A log and the tasks that are learned together.

    Attributes:
        config: Among the examples.
        tasks: Tasks of the config; all of them where none is named.
        search_batch: Validation rows that judge a route of mtnas.
    """

    config: str
    tasks: tuple[str, ...] = ()
    search_batch: int = 4096


LOGS: Mapping[str, Log] = {
    "census_income_college": Log("census_income.yaml", ("income_50k", "college")),
    "census_income_married": Log("census_income.yaml", ("income_50k", "never_married")),
    "demo": Log("demo.yaml"),
    "ebnerd": Log("ebnerd.yaml", search_batch=512),
}


def config_of(log: Log) -> RecommenderConfig:
    """Example's config with the log's tasks alone, and without gates: nothing is pushed.

    Nor is anything tuned, whose constraints may name a task that was left out.
    """
    config = load_config(REPOSITORY / "examples" / log.config)
    tasks = tuple(task for task in config.tasks if not log.tasks or task.name in log.tasks)
    evaluation = config.evaluation.model_copy(update={"gates": ()})
    return RecommenderConfig.model_validate(
        {**dict(config), "tasks": tasks, "evaluation": evaluation, "tuning": None}
    )


def with_mtnas(log: Log, config: RecommenderConfig, data: Path, root: Path) -> RecommenderConfig:
    """`config` with an mtnas trunk whose route a search has found on train and validation rows.

    Its supernet has the layers of the config's own trunk, an SNR.
    """
    assert isinstance(config.trunk, SnrTransTrunk | SnrAverTrunk)
    trunk = MtnasTrunk.model_validate(
        {
            "kind": "mtnas",
            "layers": config.trunk.layers,
            "search": {"batch_size": log.search_batch},
        }
    )
    path = root / "route.json"
    if not path.exists():
        searched = config.model_copy(update={"trunk": trunk})
        shared = transformed(searched, data, root)
        result = search(shared, searched.part(ModelConfig), root / "search")
        write_whole(path, result.model_dump_json())
    # As a config that names the file: a route of other layers or tasks is refused.
    with_route = {**trunk.model_dump(), "route": load_route(path).model_dump()}
    return RecommenderConfig.model_validate({**config.model_dump(), "trunk": with_route})


def write(roots: Path) -> None:
    """Puts the tables of finished comparisons into the page."""
    page = PAGE.read_text(encoding="utf-8")
    FILES.mkdir(exist_ok=True)
    for name in LOGS:
        folder = roots / name / "compare"
        if not (folder / "compare.json").exists():
            continue
        result = Comparison.model_validate_json((folder / "compare.json").read_text("utf-8"))
        shutil.copy(folder / "compare.svg", FILES / f"{name}.svg")
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        before, rest = page.split(begin)
        page = before + begin + "\n" + "\n".join(tables(result)) + "\n" + end + rest.split(end)[1]
    PAGE.write_text(page, encoding="utf-8")


def tables(result: Comparison) -> list[str]:
    """Markdown: a table a metric, then costs, what is shown to differ, and provenance."""
    lines = []
    trunks = list(dict.fromkeys(row.trunk for row in result.measured))
    for metric in dict.fromkeys(row.metric for row in result.measured):
        cells = {
            (row.trunk, row.task): _cell(row) for row in result.measured if row.metric == metric
        }
        tasks = list(dict.fromkeys(task for _, task in cells))
        header = [LABELS[metric], *tasks]
        lines += _table(header, [[t, *(cells[t, task] for task in tasks)] for t in trunks])
    header = ["cost", "parameters", "MACs", "as served", f"ms a request of {result.latency_rows}"]
    lines += _table(header, [_costs(cost) for cost in result.costs])
    differences = [(row, test) for row in result.measured for test in row.against]
    shown = [_difference(*one) for one in differences if one[1].verdict in _MARKS]
    percent = f"{result.confidence:.0%}"
    header = ["shown", "trunk", "than", "", f"difference, {percent} interval", "after Holm"]
    lines += _table(header, shown)
    rows = ", ".join(f"{count:,} {split}" for split, count in result.rows.items())
    lines += [
        "",
        f"{len(shown)} of {result.num_tests} tests show a difference, "
        f"{sum(test.holds for _, test in differences)} after Holm's correction.",
        "",
        f"Rows: {rows}. Seeds {', '.join(map(str, result.seeds))}. Code {result.code_digest[:12]}, "
        f"data {result.data_digest[:12]}, {result.machine}.",
    ]
    return lines


_MARKS = {"better": "+", "worse": "-"}
_LETTERS = {"single_task": "S", "shared_bottom": "B"}


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return ["", lines[0], "|---" * len(header) + "|", *lines[1:]]


def _cell(row: Measured) -> str:
    """Mean and spread; what is shown against single_task and shared_bottom, as in `S+ B-`."""
    if row.mean is None:
        return ""
    marks = [
        _LETTERS[test.reference] + _MARKS[test.verdict]
        for test in row.against
        if test.verdict in _MARKS
    ]
    spread = "" if row.std is None else f" ± {_size(row.metric, row.std)}"
    return " ".join([f"{_size(row.metric, row.mean)}{spread}", *marks])


def _difference(row: Measured, test: Against) -> list[str]:
    gap, low, high = (_size(row.metric, size) for size in (test.difference, test.low, test.high))
    what = f"{row.task} {LABELS[row.metric]}"
    holds = "holds" if test.holds else f"p = {test.holm_p_value:.2f}"
    return [what, row.trunk, test.reference, test.verdict, f"{gap}, {low} to {high}", holds]


def _size(metric: str, size: float) -> str:
    """A share without the 0 before the point; an error in the unit of its label."""
    return f"{size:.2f}" if metric == "mae" else f"{size:.4f}".replace("0.", ".", 1)


def _costs(cost: TrunkCost) -> list[str]:
    counts = (cost.parameters, cost.macs, cost.served_macs)
    latency = "" if cost.latency_ms is None else f"{cost.latency_ms:.1f}"
    return [cost.trunk, *(f"{count:,.0f}" for count in counts), latency]


def main() -> None:
    parser = options(
        __doc__,
        data=(str(REPOSITORY / "examples"), "data"),
        root=(str(REPOSITORY / "runs" / "results"), "results"),
        seeds=(5, 2),
        trunks=(",".join(TRUNKS), "single_task,shared_bottom"),
    )
    parser.add_argument("what", choices=("run", "write"), nargs="?", default="run")
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--budget", type=float, help="minutes for each log")
    arguments = parser.parse_args()
    root, data = Path(arguments.root).resolve(), Path(arguments.data).resolve()
    if arguments.what == "write":
        write(root)
        return
    names = arguments.names or list(LOGS)
    if arguments.smallest:
        names = ["demo"]
        write_sample_log(make_sample_log(SampleLogSpec(num_rows=2_000)), data / "demo.parquet")
    findings = {}
    for name in names:
        log = LOGS[name]
        config = config_of(log)
        if "mtnas" in arguments.trunks:
            config = with_mtnas(log, config, data, root / name)
        comparison = compare(
            config,
            data,
            root / name,
            trunks=tuple(arguments.trunks.split(",")),
            num_seeds=arguments.seeds,
            budget_minutes=arguments.budget,
        )
        findings[name] = {"missing": comparison.missing, "findings": comparison.findings}
    report("trunks on public and sample logs", logs=findings)


if __name__ == "__main__":
    main()

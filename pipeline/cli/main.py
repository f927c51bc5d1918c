"""The command `taskroute`: parses and calls.

Nothing heavy is imported before the command is known: `--help` answers at once.
"""

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from taskroute.pipeline.cli.error_sentences import sentence_for_errors

if TYPE_CHECKING:
    from taskroute.pipeline.kubeflow.compiler import CompiledPipeline
    from taskroute.schemas.recommender import RecommenderConfig

_config = click.argument("config", type=click.Path(path_type=Path))
_data = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="TASKROUTE_DATA",
    help="Where relative paths of the config start; the config's folder by default.",
)
_root = click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where artifacts, logs and served models go; runs/NAME by default.",
)
_budget = click.option(
    "--budget",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MINUTES",
    help="Begin no training that would end later; the same command goes on.",
)
_verbose = click.option("-v", "--verbose", is_flag=True, help="Show what TensorFlow and Beam say.")


def _with_config(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Loads the config of a command, and fills in the folders that the command line left out."""

    @wraps(command)
    def call(*, config: Path, **options: Any) -> int | None:
        from taskroute.schemas.recommender import load_config

        loaded = load_config(config)
        defaults = {"data": config.parent, "root": Path("runs") / loaded.name}
        folders = {name: options[name] or defaults[name] for name in defaults if name in options}
        return command(config=loaded, **{**options, **folders})

    return call


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="taskroute")
def cli() -> None:
    """From click and watch logs to a served multi-task ranker."""


@cli.command()
@click.argument("log", required=False)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The config to write; the log's name and .yaml by default.",
)
@sentence_for_errors
def init(log: str | None, output: Path | None) -> None:
    """Writes a config to start from, guessed from rows of LOG.

    LOG is a file or a quoted pattern, such as 'logs/{YYYY}-{MM}-{DD}/*.csv'. Without it: a config
    to fill in.
    """
    from taskroute.pipeline.starter.command import write_starter

    write_starter(log, output)


@cli.command()
@_config
@_data
@sentence_for_errors
@_with_config
def check(config: "RecommenderConfig", data: Path) -> None:
    """Reads CONFIG and a sample of its log: columns, types, label rates. No training."""
    from taskroute.pipeline.inspection.check import check_log
    from taskroute.pipeline.inspection.check_tables import print_check

    print_check(config, check_log(config, data))


@cli.command()
@_config
@_data
@_root
@_verbose
@sentence_for_errors
@_with_config
def run(config: "RecommenderConfig", data: Path, root: Path, verbose: bool) -> int:
    """Runs the pipeline of CONFIG on this machine; finished stages are reused."""
    from taskroute.pipeline.inspection.check import check_log
    from taskroute.pipeline.run import run as runner

    check_log(config, data)
    return runner.run(config, data, root, verbose=verbose).exit_code


@cli.command()
@_config
@_data
@_root
@click.option(
    "--trunks",
    default="",
    metavar="A,B,...",
    help="Kinds of trunk; single_task, shared_bottom and the config's own by default.",
)
@click.option("--seeds", default=5, show_default=True, help="Trainings of each trunk.")
@click.option(
    "--match",
    type=click.Choice(["parameters", "none"]),
    default="parameters",
    show_default=True,
    help="Give all the size of the config's own trunk, or leave them as they are.",
)
@_budget
@_verbose
@sentence_for_errors
@_with_config
def compare(
    config: "RecommenderConfig",
    data: Path,
    root: Path,
    trunks: str,
    seeds: int,
    match: Literal["parameters", "none"],
    budget: float | None,
    verbose: bool,
) -> None:
    """Trains several trunks on the log of CONFIG, several times each, and tests what differs."""
    from taskroute.pipeline.experiments.compare import command

    command.compare(
        config,
        data,
        root,
        trunks=[name.strip() for name in trunks.split(",") if name.strip()],
        num_seeds=seeds,
        match=match,
        budget_minutes=budget,
        verbose=verbose,
    )


@cli.command()
@_config
@_data
@_root
@click.option(
    "--seeds",
    type=int,
    help="Further trainings of each finalist; `tuning.final_seeds` by default.",
)
@_budget
@click.option(
    "--test", is_flag=True, help="Then measure the config and what was found on the test split."
)
@_verbose
@sentence_for_errors
@_with_config
@click.pass_context
def tune(
    context: click.Context,
    config: "RecommenderConfig",
    data: Path,
    root: Path,
    seeds: int | None,
    budget: float | None,
    test: bool,
    verbose: bool,
) -> None:
    """Searches what `tuning` of CONFIG lets change, on validation; writes the best config."""
    from taskroute.pipeline.experiments.tune import command

    command.tune(
        config,
        context.params["config"],
        data,
        root,
        num_seeds=seeds,
        budget_minutes=budget,
        test=test,
        verbose=verbose,
    )


@cli.command()
@_config
@_data
@_root
@click.option("--span", help="Last span of the window; the newest complete one by default.")
@click.option("--json", "only_json", is_flag=True, help="Print the verdict and nothing else.")
@_verbose
@sentence_for_errors
@_with_config
def retrain(
    config: "RecommenderConfig",
    data: Path,
    root: Path,
    span: str | None,
    only_json: bool,
    verbose: bool,
) -> int:
    """Trains CONFIG on its newest span, on from the model that serves; pushes what passes."""
    from taskroute.pipeline.run import retrain as retrainer

    return retrainer.retrain(
        config,
        data,
        root,
        span=span,
        verbose=verbose,
        only_json=only_json,
    ).exit_code


@cli.command("monitor")
@_config
@_root
@click.option(
    "--serving-log",
    required=True,
    metavar="PATH",
    help="Rows as the server saw them: a file or a pattern, in the format of CONFIG's source.",
)
@sentence_for_errors
@_with_config
def monitor_(config: "RecommenderConfig", root: Path, serving_log: str) -> None:
    """Compares a serving log with the log of CONFIG's last run: its skew. No training."""
    from taskroute.pipeline.run.monitor import monitor

    monitor(config, root, serving_log)


@cli.command()
@click.option("--rows", default=200_000, show_default=True, help="Rows of the sample log.")
@click.option("--relatedness", default=0.5, show_default=True, help="Of the tasks, 0 to 1.")
@click.option("--seed", default=1, show_default=True)
@click.option("--format", "format_", type=click.Choice(["parquet", "csv"]), default="parquet")
@_root
@_verbose
@sentence_for_errors
def demo(
    rows: int,
    relatedness: float,
    seed: int,
    format_: Literal["parquet", "csv"],
    root: Path | None,
    verbose: bool,
) -> int:
    """Makes a sample log and runs the whole pipeline on it."""
    from taskroute.pipeline.sample_log.demo import run_demo

    return run_demo(
        root or Path("runs/demo"),
        num_rows=rows,
        relatedness=relatedness,
        seed=seed,
        log_format=format_,
        verbose=verbose,
    ).exit_code


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--rows", default=30_000, show_default=True, help="Of all days together.")
@click.option("--days", default=10, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--format", "format_", type=click.Choice(["parquet", "csv"]), default="csv", show_default=True
)
@sentence_for_errors
def sample(
    folder: Path, rows: int, days: int, seed: int, format_: Literal["parquet", "csv"]
) -> None:
    """Writes a sample log to FOLDER, a file a day: something to try the rest on."""
    from taskroute.pipeline.sample_log.sample_files import write_sample_days
    from taskroute.pipeline.sample_log.sample_log import SampleLogSpec, make_sample_log

    log = make_sample_log(SampleLogSpec(num_rows=rows, num_days=days, seed=seed))
    names = write_sample_days(log, folder, format_)
    click.echo(
        f"{rows:,} impressions, {names[0]} to {names[-1]}, a file a day: "
        f"{folder}/{{YYYY}}-{{MM}}-{{DD}}/log.{format_}"
    )


@cli.command()
@_config
@_root
@click.option(
    "--figure",
    type=click.Path(path_type=Path, dir_okay=False),
    help="SVG file to draw the routes to.",
)
@click.option(
    "--signatures",
    is_flag=True,
    help="Say instead what a served model of CONFIG takes and gives, as Markdown; needs no run.",
)
@sentence_for_errors
@_with_config
def describe(
    config: "RecommenderConfig", root: Path, figure: Path | None, signatures: bool
) -> None:
    """Says what the model of CONFIG's last run costs and which routes it uses."""
    from taskroute.pipeline.inspection import describe as describer
    from taskroute.pipeline.run.paths import RunPaths

    if signatures:
        click.echo(describer.signature_table(config), nl=False)
        return
    training = describer.read_training(RunPaths(root.resolve(), config.name))
    describer.print_description(training)
    if figure is not None:
        describer.draw_routes(training, figure)


@cli.command("report")
@click.argument("run_", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File to write; by default the one that the run wrote.",
)
@click.option(
    "--importance",
    type=click.IntRange(min=1),
    metavar="ROWS",
    help="Measure what each column is worth to each task, on ROWS rows of the test split.",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Of --importance: how often each column is dealt out anew.",
)
@sentence_for_errors
def report_(run_: Path, output: Path | None, importance: int | None, repeats: int) -> None:
    """Makes the page of RUN again: a pipeline root, or its last_run.json."""
    from taskroute.pipeline.run.report import report

    click.echo(report(run_, output, importance, repeats))


_image = click.option("--image", required=True, help="Holds this package; best with its digest.")
_pipeline_root = click.option(
    "--pipeline-root", required=True, help="Where KFP puts artifacts: gs://, s3:// or minio://."
)
_stage_data = click.option(
    "--data",
    "stage_data",
    help="Where relative paths of the config start, as the stages see it: a URI, or a folder of "
    "the volume; the volume by default.",
)
_warm_start = click.option(
    "--warm-start", is_flag=True, help="Train on from the model that serves when a run begins."
)


def _compile(
    config: "RecommenderConfig",
    image: str,
    pipeline_root: str,
    stage_data: str | None,
    warm_start: bool,
) -> "CompiledPipeline":
    from taskroute.pipeline.run.quiet import quiet

    with quiet(Path(os.devnull), verbose=False):
        from taskroute.pipeline.kubeflow.compiler import compile_pipeline

        return compile_pipeline(config, image, pipeline_root, stage_data, warm_start=warm_start)


@cli.command("compile")
@_config
@_image
@_pipeline_root
@_stage_data
@_warm_start
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("pipeline.yaml"),
    show_default=True,
    help="File to write: .yaml for KFP's page and client, .json for its REST API.",
)
@sentence_for_errors
@_with_config
def compile_(config: "RecommenderConfig", output: Path, **options: Any) -> None:
    """Writes the pipeline of CONFIG for Kubeflow Pipelines 2.x."""
    _compile(config, **options).write(output)
    click.echo(f"{output}: hand it to Kubeflow Pipelines 2.x, or call `taskroute submit`")


@cli.command()
@_config
@_image
@_pipeline_root
@_stage_data
@_warm_start
@click.option("--host", envvar="KFP_HOST", required=True, help="URL of KFP's API.")
@click.option("--namespace", envvar="KFP_NAMESPACE", help="Where KFP serves several users.")
@click.option("--cron", help="Run by a schedule, e.g. '0 0 3 * * *': six fields, seconds first.")
@sentence_for_errors
@_with_config
def submit(
    config: "RecommenderConfig",
    host: str,
    namespace: str | None,
    cron: str | None,
    **options: Any,
) -> None:
    """Runs the pipeline of CONFIG on Kubeflow Pipelines 2.x; KFP_TOKEN holds a bearer token."""
    compiled = _compile(config, **options)
    from taskroute.pipeline.kubeflow.submit import submit as submit_to

    account = config.runtime.kubeflow.service_account
    click.echo(submit_to(compiled, host, os.environ.get("KFP_TOKEN"), namespace, account, cron))


@cli.command("serve-check")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@sentence_for_errors
def serve_check(folder: Path) -> int:
    """Tries the exported model in FOLDER as a server would, without our code."""
    from taskroute.pipeline.server import serve_check as checker

    return checker.serve_check(folder)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8500, show_default=True, help="Of gRPC; 0 takes a free one.")
@click.option("--rest-port", default=8501, show_default=True, help="Of REST; 0 takes a free one.")
@sentence_for_errors
def serve(folder: Path, host: str, port: int, rest_port: int) -> None:
    """Serves the exported model in FOLDER, for trying clients: not for production."""
    from taskroute.pipeline.server.serve import serve_model

    serve_model(folder, host, port, rest_port)


@cli.command()
@click.argument("name")
@_root
@sentence_for_errors
def rollback(name: str, root: Path | None) -> None:
    """Goes back to the version before the one that serves. NAME may also be a config."""
    from taskroute.pipeline.run.rollback import roll_back

    click.echo(roll_back(name, root))


@cli.command()
@click.argument("config", required=False, type=click.Path(path_type=Path))
@_root
@sentence_for_errors
def doctor(config: Path | None, root: Path | None) -> int:
    """Says what is installed, what is wrong, and how to mend it; with CONFIG, for its runs."""
    from taskroute.pipeline.inspection.doctor import diagnose
    from taskroute.schemas.recommender import load_config

    if config is None:
        return diagnose(root or Path("runs"))
    loaded = load_config(config)
    return diagnose(root or Path("runs") / loaded.name, loaded.name, loaded.runtime.metadata)


def main() -> None:
    """Entry point of the console script."""
    cli(prog_name="taskroute")

"""Submits a compiled pipeline to a Kubeflow Pipelines server, to run once or on a schedule."""

import tempfile
import warnings
from pathlib import Path

from taskroute.pipeline.kubeflow.compiler import CompiledPipeline
from taskroute.schemas.errors import ConfigError, UserError

_MENDS = {
    401: "the token is missing or no longer valid; set KFP_TOKEN",
    403: "the token may not do this; ask for the role of an editor in the namespace",
    404: "there is no Kubeflow Pipelines 2.x here; check --host",
}


def submit(
    compiled: CompiledPipeline,
    host: str,
    token: str | None = None,
    namespace: str | None = None,
    service_account: str | None = None,
    cron: str | None = None,
) -> str:
    """Submits the pipeline into the experiment of its own name.

    Args:
        compiled: The pipeline.
        host: URL of KFP's API, e.g. http://localhost:8080 behind a port-forward.
        token: Bearer token of the requests; it is written nowhere.
        namespace: Namespace of the experiment, where KFP serves several users.
        service_account: Kubernetes account of the stages; the server's default if None.
        cron: Schedule of six fields, the first of them seconds, in UTC; None runs once now. A run
            that is due during another one waits; missed runs are skipped.

    Returns:
        One line that names the run or the schedule.

    Raises:
        ConfigError: If `host` is no URL or `cron` has not six fields.
        UserError: If the server cannot be reached or refuses.
    """
    if not host.startswith(("http://", "https://")):
        raise ConfigError(f"--host: '{host}' must start with http:// or https://")
    if cron is not None and len(cron.split()) != 6:
        raise ConfigError(
            f"--cron: '{cron}' must have six fields, the first of them seconds, as in '0 0 3 * * *'"
        )
    import kfp_server_api
    import urllib3
    from kfp.client import Client

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = Path(folder, "pipeline.yaml")
        compiled.write(file)
        common = {"pipeline_root": compiled.pipeline_root, "service_account": service_account}
        try:
            _require_health(host, token)
            client = Client(host=host, existing_token=token)
            experiment = client.create_experiment(compiled.name, namespace=namespace)
            if cron is None:
                run = client.run_pipeline(
                    experiment.experiment_id, compiled.name, str(file), **common
                )
                return f"run {run.run_id} of {compiled.name} is on its way at {host}"
            schedule = client.create_recurring_run(
                experiment.experiment_id,
                compiled.name,
                cron_expression=cron,
                max_concurrency=1,
                no_catchup=True,
                pipeline_package_path=str(file),
                **common,
            )
            return f"{compiled.name} runs at '{cron}' at {host}: {schedule.recurring_run_id}"
        except kfp_server_api.ApiException as error:
            raise UserError(_refusal(host, error.status)) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise UserError(
                f"{host}: cannot be reached ({type(error).__name__}); check --host, or the "
                "port-forward to it"
            ) from None


def _require_health(host: str, token: str | None) -> None:
    """Asks once for the server's health; KFP's client asks five times in half a minute."""
    import urllib3

    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib3.PoolManager(headers=headers, retries=False, timeout=30) as pool:
        answer = pool.request("GET", f"{host.rstrip('/')}/apis/v2beta1/healthz")
    if answer.status != 200:
        raise UserError(_refusal(host, answer.status))


def _refusal(host: str, status: int) -> str:
    return f"{host}: answers {status}: {_MENDS.get(status, 'see the log of its API server')}"

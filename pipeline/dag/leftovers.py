"""Leftovers of a killed run: half-written artifacts, and executions that never end.

TFX's cache takes only the outputs of executions that succeeded, so leftovers do no harm; but they
would fill the disk, and MLMD would show their executions as running for ever.
"""

import shutil
from pathlib import Path

from ml_metadata.metadata_store import ListOptions
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata


def remove_leftovers(connection: metadata.ConnectionConfigType, pipeline_root: Path) -> list[Path]:
    """Removes the outputs of killed executions and cancels these in MLMD.

    The pipeline root must be locked: every execution there that MLMD shows as running was killed.

    Args:
        connection: Connection to MLMD, which may hold executions of other pipeline roots, too.
        pipeline_root: Folder of the artifacts, `STAGE/OUTPUT/EXECUTION`.

    Returns:
        Removed folders.
    """
    removed = []
    with metadata.Metadata(connection) as handle:
        running = handle.store.get_executions(
            list_options=ListOptions(filter_query="last_known_state = RUNNING")
        )
        ended = []
        for execution in running:
            folders = [
                *pipeline_root.glob(f"*/*/{execution.id}"),
                *pipeline_root.glob(f"*/.system/*/{execution.id}"),
            ]
            for folder in folders:
                shutil.rmtree(folder)
            if folders:
                execution.last_known_state = metadata_store_pb2.Execution.CANCELED
                ended.append(execution)
            removed += folders
        if ended:
            handle.store.put_executions(ended)
    return removed

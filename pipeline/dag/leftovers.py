"""What a run that was killed has left: half-written artifacts, and executions that never end.

TFX's cache takes the outputs of executions that succeeded only, so nothing wrong comes of them; but
they would fill the disk, and MLMD would say for ever that they run.
"""

import shutil
from pathlib import Path

from ml_metadata.metadata_store import ListOptions
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata


def remove_leftovers(connection: metadata.ConnectionConfigType, pipeline_root: Path) -> list[Path]:
    """Removes the outputs of executions that run no more and says in MLMD that they ended.

    The pipeline root must be locked: every execution there that is said to run was killed.

    Args:
        connection: Of MLMD, which may hold executions of other pipeline roots, too.
        pipeline_root: Where artifacts are, `STAGE/OUTPUT/EXECUTION`.

    Returns:
        The folders that were removed.
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

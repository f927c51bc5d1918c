"""Base of records: JSON files that one stage writes and others read."""

from pathlib import Path
from typing import ClassVar, Self

from pydantic import ValidationError

from taskroute.schemas.base import Config
from taskroute.schemas.errors import DataError
from taskroute.schemas.whole_files import write_whole


class Record(Config):
    """Base of every record: immutable, and an unknown field is an error.

    Attributes:
        FILE: Name of the file, relative to its folder.
        TITLE: Name of the content in the error "FILE: is not TITLE".
        REMEDY: Step that makes the file again, in the same error.
    """

    FILE: ClassVar[str]
    TITLE: ClassVar[str] = "a record of this version"
    REMEDY: ClassVar[str] = "run the pipeline again"

    @classmethod
    def path(cls, folder: str | Path) -> Path:
        """Path of the file in a folder."""
        return Path(folder, cls.FILE)

    @classmethod
    def read(cls, folder: str | Path) -> Self:
        """Reads the file in a folder.

        Raises:
            DataError: If the file is missing or is not such a record.
        """
        path = cls.path(folder)
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror}; {cls.REMEDY}") from None
        except ValidationError:
            raise DataError(f"{path}: is not {cls.TITLE}; {cls.REMEDY}") from None

    @classmethod
    def find(cls, folder: str | Path) -> Self | None:
        """Reads the file in a folder; None where it is missing or not such a record."""
        try:
            return cls.read(folder)
        except DataError:
            return None

    def write(self, folder: str | Path) -> None:
        """Writes the file whole into a folder, and makes the folder where it is missing."""
        write_whole(self.path(folder), self.model_dump_json(indent=1) + "\n")

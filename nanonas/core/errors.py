"""The user's mistakes. Each is one line for the terminal: what was wrong, what is allowed, what to type next."""

import errno

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL)
"""What flock fails with on a file system that has none, as some of Lustre, NFS and FUSE."""


NEWER = "was written by a newer version of nanonas"
UPGRADE = "type: pip install -U nanonas"


class NanonasError(Exception):
    """Something the user can put right; the command line prints it without a traceback and exits with 1."""


class SpecError(NanonasError):
    """A spec that cannot be run: one line for every field that is wrong."""


class UnknownName(SpecError, ValueError):
    """A name that nothing is registered under; a ValueError, so that a validator of pydantic may raise it."""


class DataError(NanonasError):
    """A data set that is missing, unreadable or unfit for classification."""


class RunError(NanonasError):
    """A run directory that is missing, not ours, damaged, in use, or of another spec."""


class NewerVersion(RunError):
    """A file of a run that a newer version of nanonas has written, in a way that this one does not know."""


class EvaluationError(NanonasError):
    """A candidate that could not be scored; the search records it as a failed trial and goes on."""


class ExportError(NanonasError):
    """A model file that could not be written, read, or trusted to compute what the network computes."""

"""What goes wrong with backups, said in a way that helps."""


class BackupError(Exception):
    """Base: the message is for the one who has to mend it, and holds nothing secret."""


class ProgramFailed(BackupError):
    """pg_dump or pg_restore gave up, or is not there."""


class Damaged(BackupError):
    """What is stored is not what was written."""


class NotFound(BackupError):
    """There is no such backup; the message lists what there is."""


class Undecryptable(BackupError):
    """The identity that is given, if one is, does not open the backup."""


class Refused(BackupError):
    """The database is not one to restore into."""

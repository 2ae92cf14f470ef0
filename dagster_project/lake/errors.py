"""What the lake refuses, in words for the person who meets it."""


class LakeError(Exception):
    """A lake that cannot be used as asked: the table or file, what was found, what to do."""


class SchemaError(LakeError):
    """Rows that are not what the table contract says: table, column, found and expected."""

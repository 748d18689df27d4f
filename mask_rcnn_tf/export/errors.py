"""The error of exports."""


class ExportError(ValueError):
    """A model cannot be exported as asked, or the exported one does not find the same; nothing was written."""

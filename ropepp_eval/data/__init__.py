"""Real corpora and their generated stand-ins: a local folder, pinned hub revisions, hashes, the offline switch."""

from ropepp_eval.data.folder import DataFolder, open_data

__all__ = ["DataFolder", "open_data"]

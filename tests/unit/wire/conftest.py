"""Property tests run on shared, slow machines: no example may fail for being slow."""

from hypothesis import settings

settings.register_profile("wire", deadline=None)
settings.load_profile("wire")

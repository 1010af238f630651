"""What ``zipfile`` raises of damaged and of hostile archives, reading them or a member."""

import struct
import zipfile
import zlib
from lzma import LZMAError

DAMAGES = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, LZMAError, EOFError, struct.error),
    *(NotImplementedError, RuntimeError, ValueError, OverflowError, OSError),
)
"""Encrypted members are a RuntimeError, seeks before the start an OSError, broken deflate is zlib's own."""

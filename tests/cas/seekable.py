"""Footers of the formats that restart compression per file, byte for byte as their tools write."""

from struct import pack


def estargz_footer(toc: int) -> bytes:
    """An empty gzip member whose extra field names the offset of the table of contents.

    Source: containerd/stargz-snapshotter, docs/estargz.md, "Footer": 51 bytes.
    """
    header = b"\x1f\x8b\x08\x04" + bytes(4) + b"\x00\xff"  # deflate, FEXTRA, no time, unknown OS
    value = b"%016xSTARGZ" % toc
    extra = b"SG" + pack("<H", len(value)) + value
    return header + pack("<H", len(extra)) + extra + b"\x01\x00\x00\xff\xff" + bytes(8)


def zstd_chunked_footer(manifest: int, length: int) -> bytes:
    """A skippable frame of 64 bytes: where the manifest and the tar-split data lie, and a magic.

    Source: containers/storage, pkg/chunked/internal/compression.go, `footerDataToBlob`.
    """
    fields = pack("<7Q", manifest, length, 4 * length, 1, manifest + length, 100, 400)
    frame = fields + b"GNUlInUx"
    return pack("<II", 0x184D2A50, len(frame)) + frame

"""What users of containerd do."""

import tarfile

from tests.e2e.images import SPEAK, add_rootfs_layer, make_rootfs
from tests.e2e.oci import Layout

NATIVE = ("--snapshotter", "native")  # plain copies: overlays may not be allowed here


def test_an_image_pushed_with_ctr_comes_back_and_runs(ctr, registry, folder):
    image = registry.image("ctr") + ":1"
    credentials = ("--plain-http", "--user", registry.credentials)
    rootfs = make_rootfs(folder / "rootfs")
    layout = Layout(folder / "layout")
    manifest = layout.add_image([add_rootfs_layer(layout, rootfs)], SPEAK)
    layout.tag(manifest, "1", **{"io.containerd.image.name": image})
    archive = folder / "image.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(layout.root, arcname=".")
    ctr("images", "import", *NATIVE, str(archive))

    ctr("images", "push", *credentials, image)
    ctr("images", "remove", "--sync", image)
    ctr("images", "pull", *NATIVE, *credentials, image)

    message = ctr("run", "--rm", "--net-host", *NATIVE, image, "ctr-test")
    assert message == rootfs.message
    assert manifest["digest"] in ctr("images", "list", f"name=={image}")

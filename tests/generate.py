"""`python -m tests.generate`: write everything that is generated and committed."""

from pathlib import Path

import tests.golden
from aiapp_operator.cli.render import crd_text
from tests.cluster.paths import REPOSITORY
from tests.reference import reference

CRD_COPIES = ("crds/aiapps.aiapp.dev.yaml", "charts/aiapp-operator/files/crd.yaml")
REFERENCE = "docs/reference.md"


def files() -> dict[Path, str]:
    """Generated files and their content, goldens not counted."""
    crd = crd_text()
    return {
        **{REPOSITORY / name: crd for name in CRD_COPIES},
        REPOSITORY / REFERENCE: reference(),
    }


def main() -> None:
    """Write them."""
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    tests.golden.write()


if __name__ == "__main__":
    main()

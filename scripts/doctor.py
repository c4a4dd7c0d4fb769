"""Say what works here, and how to mend what does not. Exit code 0 if the core works, 1 if not."""

from __future__ import annotations

import argparse  # not tyro, which may be what is missing
import json
import sys
from dataclasses import asdict
from pathlib import Path

try:
    from g1_vq_retarget.doctor import examine, report
    from g1_vq_retarget.errors import reporting
    from g1_vq_retarget.files import replacing
except ModuleNotFoundError:
    sys.exit(f"g1_vq_retarget is not installed in {sys.executable}\nfix: python -m pip install -e .")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report to this file too")
    args = parser.parse_args()
    checks = examine()
    print(report(checks))
    works = not any(check.fatal for check in checks)
    if args.json is not None:
        values = {"core_works": works, "checks": [asdict(check) for check in checks]}
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(values, indent=1), encoding="utf-8")
    return 0 if works else 1


if __name__ == "__main__":
    with reporting():
        sys.exit(main())

"""List the tasks that this package registers in Isaac Lab."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from g1_vq_retarget.errors import reporting


def main() -> None:
    # here, so that it is told in a line where Isaac Lab is not installed
    from g1_vq_retarget.tasks.isaaclab import TASKS, gymnasium

    table = Table("task", "environments", "configuration")
    for task in TASKS:
        spec = gymnasium.spec(task)
        table.add_row(task, str(spec.entry_point), str(spec.kwargs["env_cfg_entry_point"]))
    Console(width=200).print(table)


if __name__ == "__main__":
    with reporting():
        main()

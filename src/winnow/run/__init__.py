"""Where and in what groups variants train: the workspace, the plan, the runner."""

from winnow.run._machine import device
from winnow.run._plan import How, PlannedFleet, Planner, cores
from winnow.run._runner import Event, Runner
from winnow.run._threads import train_side_by_side
from winnow.run._workspace import Workspace

__all__ = [
    "Event",
    "How",
    "PlannedFleet",
    "Planner",
    "Runner",
    "Workspace",
    "cores",
    "device",
    "train_side_by_side",
]

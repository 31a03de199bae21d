"""Where and in what groups variants train: the workspace, the plan, the runner."""

from winnow.execution._fleets import How, PlannedFleet
from winnow.execution._machine import cores, device
from winnow.execution._plan import Planner
from winnow.execution._records import (
    FleetRecord,
    PlanRecord,
    RunRecord,
    Sitting,
    WayRecord,
    WaysRecord,
)
from winnow.execution._runner import Event, Runner
from winnow.execution._threads import train_side_by_side
from winnow.execution._workspace import Workspace

__all__ = [
    "Event",
    "FleetRecord",
    "How",
    "PlanRecord",
    "PlannedFleet",
    "Planner",
    "RunRecord",
    "Runner",
    "Sitting",
    "WayRecord",
    "WaysRecord",
    "Workspace",
    "cores",
    "device",
    "train_side_by_side",
]

"""Where and in what groups variants train: the workspace, the plan, the runner."""

from winnow.run._plan import How, PlannedFleet, Planner
from winnow.run._runner import Event, Runner
from winnow.run._workspace import Workspace

__all__ = ["Event", "How", "PlannedFleet", "Planner", "Runner", "Workspace"]

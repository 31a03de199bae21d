"""Questions about a recipe: search, ablate, train. A study asks for variants and is told outcomes."""

from winnow.study._ablate import Ablation, ablate, plan_ablation
from winnow.study._arms import Arm, differences
from winnow.study._common import plain
from winnow.study._protocol import Plan, Study, Trainer, conduct
from winnow.study._search import Found, Leader, Trial, plan_search, search
from winnow.study._simplify import Check
from winnow.study._train import Trained, load_member, plan_training, train

__all__ = [
    "Ablation",
    "Arm",
    "Check",
    "Found",
    "Leader",
    "Plan",
    "Study",
    "Trained",
    "Trainer",
    "Trial",
    "ablate",
    "conduct",
    "differences",
    "load_member",
    "plain",
    "plan_ablation",
    "plan_search",
    "plan_training",
    "search",
    "train",
]

"""Questions about a recipe: search, ablate, train. A study asks for variants and is told
outcomes.
"""

from winnow.study._ablate import Ablation, ablate, plan_ablation
from winnow.study._allowance import Allowance, Option
from winnow.study._arms import Arm, differences
from winnow.study._common import plain
from winnow.study._looks import Look
from winnow.study._protocol import Plan, Study, Trainer, conduct
from winnow.study._remarks import remark
from winnow.study._search import Found, Leader, Trial, plan_search, search
from winnow.study._simplify import Check, Simplification, most_trainings
from winnow.study._train import Trained, load_member, plan_training, train

__all__ = [
    "Ablation",
    "Allowance",
    "Arm",
    "Check",
    "Found",
    "Leader",
    "Look",
    "Option",
    "Plan",
    "Simplification",
    "Study",
    "Trained",
    "Trainer",
    "Trial",
    "ablate",
    "conduct",
    "differences",
    "load_member",
    "most_trainings",
    "plain",
    "plan_ablation",
    "plan_search",
    "plan_training",
    "remark",
    "search",
    "train",
]

"""Questions about a recipe: search, ablate, train. A study asks for variants and is told
outcomes.
"""

from winnow.study._ablate import ablate, plan_ablation
from winnow.study._ablation import Ablation
from winnow.study._allowance import LEADERS, Allowance, Option, is_about_trials, trials_after
from winnow.study._arms import Arm, differences
from winnow.study._looks import Look
from winnow.study._protocol import Plan, Study, Trainer, conduct
from winnow.study._records import (
    AblationRecord,
    BudgetRecord,
    Check,
    ComparisonRecord,
    Decision,
    FinalRecord,
    LeaderRecord,
    LooksRecord,
    MemberRecord,
    SearchRecord,
    SimplifiedRecord,
    TrialRecord,
)
from winnow.study._remarks import remark, remark_saved
from winnow.study._search import Leader, SearchResult, Trial, plan_search, search
from winnow.study._simplify import Simplification, most_trainings
from winnow.study._train import TrainingResult, load_member, plan_training, train

__all__ = [
    "LEADERS",
    "Ablation",
    "AblationRecord",
    "Allowance",
    "Arm",
    "BudgetRecord",
    "Check",
    "ComparisonRecord",
    "Decision",
    "FinalRecord",
    "Leader",
    "LeaderRecord",
    "Look",
    "LooksRecord",
    "MemberRecord",
    "Option",
    "Plan",
    "SearchRecord",
    "SearchResult",
    "Simplification",
    "SimplifiedRecord",
    "Study",
    "Trainer",
    "TrainingResult",
    "Trial",
    "TrialRecord",
    "ablate",
    "conduct",
    "differences",
    "is_about_trials",
    "load_member",
    "most_trainings",
    "plan_ablation",
    "plan_search",
    "plan_training",
    "remark",
    "remark_saved",
    "search",
    "train",
    "trials_after",
]

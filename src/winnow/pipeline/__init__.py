"""The way through: from a recipe, or only data, to a bundle and a report; every stage on demand."""

from winnow.pipeline._check import CheckedRecipe, check, check_recipe
from winnow.pipeline._compare import Comparison, compare_runs
from winnow.pipeline._directory import run_directory
from winnow.pipeline._export import export_run
from winnow.pipeline._flow import Flow, few_notes
from winnow.pipeline._plan import describe_plan
from winnow.pipeline._report import read_documents, rewrite_report
from winnow.pipeline._run import Run, run
from winnow.pipeline._runs import RunFacts, list_runs
from winnow.pipeline._source import RunRequest, open_source
from winnow.pipeline._summary import summary

__all__ = [
    "CheckedRecipe",
    "Comparison",
    "Flow",
    "Run",
    "RunFacts",
    "RunRequest",
    "check",
    "check_recipe",
    "compare_runs",
    "describe_plan",
    "export_run",
    "few_notes",
    "list_runs",
    "open_source",
    "read_documents",
    "rewrite_report",
    "run",
    "run_directory",
    "summary",
]

"""The way through: from a recipe, or only data, to a bundle and a report; every stage on demand."""

from winnow.flow._check import Checked, check, check_recipe
from winnow.flow._door import Asked, open_source
from winnow.flow._flow import Flow, few_notes
from winnow.flow._plan import describe_plan
from winnow.flow._report import read_documents, rewrite_report
from winnow.flow._run import Run, run
from winnow.flow._runs import Comparison, RunFacts, compare_runs, export_run, list_runs
from winnow.flow._summary import summary

__all__ = [
    "Asked",
    "Checked",
    "Comparison",
    "Flow",
    "Run",
    "RunFacts",
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
    "summary",
]

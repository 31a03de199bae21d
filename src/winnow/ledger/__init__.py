"""The durable record of studies, variants, outcomes, curves and documents."""

from winnow.ledger._ledger import Ledger, StudyOutcome, StudyRecord

__all__ = ["Ledger", "StudyOutcome", "StudyRecord"]

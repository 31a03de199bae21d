"""The durable record of studies, variants, outcomes, curves and documents."""

from winnow.ledger._ledger import Ledger, Study, StudyOutcome

__all__ = ["Ledger", "Study", "StudyOutcome"]

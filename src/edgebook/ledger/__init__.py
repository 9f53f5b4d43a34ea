"""Claims written before the run, verdicts computed after it."""

from edgebook.ledger.cards import cards
from edgebook.ledger.claims import Claim, Ledger, load_ledger
from edgebook.ledger.display import claims_table
from edgebook.ledger.judging import judge
from edgebook.ledger.minute import in_one_minute
from edgebook.ledger.record import load_record
from edgebook.ledger.rule import Verdict
from edgebook.ledger.run import save_metrics, start
from edgebook.ledger.statistics import mean_interval

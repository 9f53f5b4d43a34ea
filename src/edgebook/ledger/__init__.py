"""Claims written before the run, verdicts computed after it."""

from edgebook.ledger.claims import Claim as Claim
from edgebook.ledger.claims import Ledger as Ledger
from edgebook.ledger.claims import Verdict as Verdict
from edgebook.ledger.claims import load_ledger as load_ledger
from edgebook.ledger.display import claims_table as claims_table
from edgebook.ledger.display import verdict_lines as verdict_lines
from edgebook.ledger.judging import judge as judge
from edgebook.ledger.record import load_record as load_record
from edgebook.ledger.run import save_metrics as save_metrics
from edgebook.ledger.run import start as start
from edgebook.ledger.statistics import mean_interval as mean_interval

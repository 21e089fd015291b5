"""What a way of sharing gives away, measured by attacks, beside what it is worth.

``material`` clips whose truth is known | ``simulated``, ``recorded`` where they come from | ``attack`` the
contract and the table of attacks | ``attacks`` one a file | ``probes`` what attackers learn with |
``judging`` how well they did, with intervals | ``worth`` the AUC beside it | ``auditing`` all together |
``page`` for a person.
"""

from thrum.privacy.audit.attack import ATTACKS, Attack
from thrum.privacy.audit.auditing import Audit, AuditSettings, audit
from thrum.privacy.audit.judging import Finding

__all__ = ["ATTACKS", "Attack", "Audit", "AuditSettings", "Finding", "audit"]

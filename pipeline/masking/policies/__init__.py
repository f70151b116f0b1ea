"""What becomes of a field's values on their way into the table: a policy for every need.

A policy works on the distinct values of a column; `pipeline.masking.mask` finds them and puts
the results back in place, so that each policy stays a plain loop over what differs.
"""

from pipeline.masking.policies.addresses import IpCrypt, IpPrefix
from pipeline.masking.policies.clear import UNDECLARED, Drop, Keep, Undeclared
from pipeline.masking.policies.coarse import Generalize, Last, Redact
from pipeline.masking.policies.policy import Policy
from pipeline.masking.policies.tokens import Encrypt, Pseudonymize, Vault

__all__ = [
    "UNDECLARED",
    "Drop",
    "Encrypt",
    "Generalize",
    "IpCrypt",
    "IpPrefix",
    "Keep",
    "Last",
    "Policy",
    "Pseudonymize",
    "Redact",
    "Undeclared",
    "Vault",
]

"""What annotations are checked with while testing: beartype, for which a whole number is a float too (PEP 484)."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))

"""The checker behind the package's annotations in the tests: as PEP 484 has it, an int is a fine float."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))

"""The one place where the order is written: analyse, decide, record, release."""

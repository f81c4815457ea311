"""What goes wrong on the company's own side."""


class OwnFault(Exception):
    """The company's own function failed, or gave back what is no answer; it is logged."""


class OutOfTime(Exception):
    """The company's own function did not come to an end in its time; it was cancelled."""

"""The list price of a call that was recorded, line by line, by the list that this release holds."""

from navplane.ingest import price_list, rates
from navplane.model.price_line import PricedCall, PriceLine


def list_lines(call: PricedCall) -> tuple[PriceLine, ...] | None:
    """None where the call was priced by another version of the list, whose rates are not known here any more."""
    if call.price_version != price_list.list_version():
        return None
    found = rates.find(call)
    return None if found is None or found.cost(call.usage) is None else found.lines(call.usage)

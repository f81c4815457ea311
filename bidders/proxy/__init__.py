"""A proxy that stands between any client and any server and lets TCP fail, as told at run time.

async with fault_proxy("127.0.0.1", 8091) as proxy:
    ...  # connect to 127.0.0.1:proxy.port
    await proxy.set_faults(Faults(latency_ms=200))
"""

from bidders.proxy.faults import Faults
from bidders.proxy.proxy import Counts, FaultProxy, fault_proxy

__all__ = ["Counts", "FaultProxy", "Faults", "fault_proxy"]

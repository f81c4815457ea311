"""The tests: core, flow, stores, web, embedded servers, scenarios, and the whole from outside."""

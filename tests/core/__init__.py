"""The core's rules, each as a test; hypothesis for arithmetic and for orders of events."""

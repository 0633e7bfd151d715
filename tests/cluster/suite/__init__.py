"""The parts of the cluster test; the program is ../e2e."""
